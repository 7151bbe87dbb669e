// SPDX-License-Identifier: Apache-2.0
// client.js URL [OPTION...] COMMAND...: a session of node-opcua's client, which does the commands in
// their order and prints a line of JSON for each.
//
//   --policy POLICY         signed and encrypted, by that policy; without it no security
//   --uri URI, --certificate FILE, --key FILE, --trusted FILE...
//                           who it is, and whom it trusts
//   --user NAME, --password TEXT
//                           who its user is; without them nobody
//
// A command is words in one argument:
//
//   browse NODE             the browse names of what it refers to
//   read NODE               its value
//   attributes NODE         data type, rank, description, access, unit and range
//   write NODE TYPE VALUE   the status; the value is JSON
//   call OBJECT METHOD [TYPE VALUE]...
//   watch NODE              from now on a line for each change, {"watch": NODE, "value": ...}
//   events NODE             from now on a line for each event, {"event": NODE, "message": ...}
//   history NODE            the values that it had
//   stay                    until it is ended
//
// A failure is {"error": "..."}, and what follows is still done.
'use strict';
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const opcua = require('node-opcua');
const { readCertificate } = require('node-opcua-crypto');

function say(what) {
  process.stdout.write(JSON.stringify(what, (_, v) => (ArrayBuffer.isView(v) && !(v instanceof DataView) ? Array.from(v) : v)) + '\n');
}

function value(data) {
  return { value: data.value ? data.value.value : null, status: data.statusCode.name };
}

function variant(type, text) {
  const parsed = JSON.parse(text);
  const arrayType = Array.isArray(parsed) ? opcua.VariantArrayType.Array : opcua.VariantArrayType.Scalar;
  return new opcua.Variant({ dataType: opcua.DataType[type], arrayType, value: parsed });
}

async function property(session, node, name) {
  const path = await session.translateBrowsePath(opcua.makeBrowsePath(node, `.${name}`));
  if (path.statusCode.isNotGood()) return null;
  return (await session.read({ nodeId: path.targets[0].targetId })).value.value;
}

const commands = {
  async browse(session, _, node) {
    const found = await session.browse({ nodeId: node, browseDirection: 0, includeSubtypes: true, referenceTypeId: 'HierarchicalReferences', resultMask: 63 });
    return { browse: found.references.map((each) => each.browseName.toString()) };
  },
  async read(session, _, node) {
    return { read: node, ...value(await session.read({ nodeId: node })) };
  },
  async attributes(session, _, node) {
    const ids = opcua.AttributeIds;
    const of = async (attributeId) => (await session.read({ nodeId: node, attributeId })).value.value;
    const unit = await property(session, node, 'EngineeringUnits');
    const range = await property(session, node, 'EURange');
    return {
      type: (await of(ids.DataType)).toString(),
      rank: await of(ids.ValueRank),
      title: (await of(ids.DisplayName)).text,
      description: (await of(ids.Description)).text,
      access: await of(ids.AccessLevel),
      unit: unit && unit.displayName.text,
      range: range && [range.low, range.high],
    };
  },
  async write(session, _, node, type, text) {
    const status = await session.write({ nodeId: node, attributeId: opcua.AttributeIds.Value, value: { value: variant(type, text) } });
    return { write: node, status: status.name };
  },
  async call(session, _, objectId, methodId, ...inputs) {
    const inputArguments = [];
    for (let i = 0; i < inputs.length; i += 2) inputArguments.push(variant(inputs[i], inputs[i + 1]));
    const result = await session.call({ objectId, methodId, inputArguments });
    return { call: methodId, status: result.statusCode.name, outputs: (result.outputArguments || []).map((each) => each.value) };
  },
  async watch(_, subscription, node) {
    const item = await subscription.monitor({ nodeId: node, attributeId: opcua.AttributeIds.Value }, { samplingInterval: 0, queueSize: 10, discardOldest: true }, opcua.TimestampsToReturn.Both);
    item.on('changed', (data) => say({ watch: node, ...value(data) }));
    return { watching: node };
  },
  async events(_, subscription, node) {
    const item = await subscription.monitor({ nodeId: node, attributeId: opcua.AttributeIds.EventNotifier }, { filter: opcua.constructEventFilter(['Message', 'Severity']), queueSize: 10, discardOldest: true }, opcua.TimestampsToReturn.Both);
    item.on('changed', ([message, severity]) => say({ event: node, message: message.value.text, severity: severity.value }));
    return { watching: node };
  },
  async history(session, _, node) {
    const found = await session.readHistoryValue(node, new Date(0), new Date());
    return { history: (found.historyData && found.historyData.dataValues ? found.historyData.dataValues : []).map((each) => each.value.value), status: found.statusCode.name };
  },
  async stay() {
    await new Promise(() => setInterval(() => {}, 1000));
  },
};

async function security(options) {
  if (!options.policy) return {};
  const clientCertificateManager = new opcua.OPCUACertificateManager({ rootFolder: path.join(os.homedir(), 'pki'), automaticallyAcceptUnknownCertificate: false });
  await clientCertificateManager.initialize();
  for (const each of options.trusted) await clientCertificateManager.trustCertificate(readCertificate(each));
  return {
    applicationUri: options.uri,
    certificateFile: options.certificate,
    privateKeyFile: options.key,
    clientCertificateManager,
    securityPolicy: opcua.SecurityPolicy[options.policy],
    securityMode: opcua.MessageSecurityMode.SignAndEncrypt,
  };
}

async function main() {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      policy: { type: 'string' },
      uri: { type: 'string' },
      certificate: { type: 'string' },
      key: { type: 'string' },
      trusted: { type: 'string', multiple: true, default: [] },
      user: { type: 'string' },
      password: { type: 'string' },
    },
  });
  const [url, ...wanted] = positionals;
  const client = opcua.OPCUAClient.create({
    applicationName: 'node-opcua',
    endpointMustExist: false,
    connectionStrategy: { maxRetry: 1, initialDelay: 100 },
    ...(await security(options)),
  });
  await client.connect(url);
  const session = await client.createSession(options.user ? { type: opcua.UserTokenType.UserName, userName: options.user, password: options.password } : undefined);
  const subscription = await session.createSubscription2({ requestedPublishingInterval: 20, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10, maxNotificationsPerPublish: 100, publishingEnabled: true, priority: 1 });
  for (const each of wanted) {
    const [name, ...words] = each.split(' ');
    try {
      say(await commands[name](session, subscription, ...words));
    } catch (error) {
      say({ error: error.message });
    }
  }
  await subscription.terminate();
  await session.close();
  await client.disconnect();
}

main().then(
  () => process.exit(0),
  (error) => {
    say({ error: error.message });
    process.exit(1);
  },
);
