// SPDX-License-Identifier: Apache-2.0
// server.js PORT [OPTION...]: a server of node-opcua on 127.0.0.1, until it is ended. It says
// `ready` on standard output.
//
//   --uri URI               its application URI
//   --certificate FILE, --key FILE, --trusted FILE...
//                           who it is, and whom it trusts; it has Basic256Sha256 SignAndEncrypt and
//                           nothing else then, and without them no security
//   --user NAME, --password TEXT
//                           who may have a session; without them anybody
//
// It has the object Line1 with the variables Temperature (Double, with its history), Count (Int32),
// Profile (Double[4]), Fixed (String, not writable) and Alarm (UInt16: who writes it makes an event of
// that severity at Line1), and the object Tank1 with the method Mix(a Double, b Int32) that gives
// product and text.
'use strict';
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const opcua = require('node-opcua');
const { readCertificate } = require('node-opcua-crypto');

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    uri: { type: 'string', default: 'urn:test:node' },
    certificate: { type: 'string' },
    key: { type: 'string' },
    trusted: { type: 'string', multiple: true, default: [] },
    user: { type: 'string' },
    password: { type: 'string' },
  },
});

function security() {
  if (!options.certificate) {
    return { securityPolicies: [opcua.SecurityPolicy.None], securityModes: [opcua.MessageSecurityMode.None] };
  }
  return {
    certificateFile: options.certificate,
    privateKeyFile: options.key,
    securityPolicies: [opcua.SecurityPolicy.Basic256Sha256],
    securityModes: [opcua.MessageSecurityMode.SignAndEncrypt],
  };
}

function fill(space) {
  const ns = space.getOwnNamespace();
  const line = ns.addObject({ browseName: 'Line1', nodeId: 's=Line1', organizedBy: space.rootFolder.objects, eventNotifier: 1, notifierOf: space.rootFolder.objects.server });
  const add = (name, dataType, value, more) =>
    ns.addVariable({
      browseName: name,
      nodeId: `s=Line1.${name}`,
      componentOf: line,
      dataType,
      value: { dataType, value, arrayType: opcua.VariantArrayType[Array.isArray(value) ? 'Array' : 'Scalar'] },
      ...more,
    });
  space.installHistoricalDataNode(add('Temperature', 'Double', 20.5), { maxOnlineValues: 100 });
  add('Count', 'Int32', 7);
  add('Profile', 'Double', [1, 2, 3, 4], { valueRank: 1, arrayDimensions: [4] });
  add('Fixed', 'String', 'mixer', { accessLevel: 'CurrentRead', userAccessLevel: 'CurrentRead' });
  add('Alarm', 'UInt16', 0).on('value_changed', (data) =>
    line.raiseEvent('BaseEventType', {
      message: { dataType: 'LocalizedText', value: { text: `it is ${data.value.value}` } },
      severity: { dataType: 'UInt16', value: data.value.value },
    }),
  );
  const tank = ns.addObject({ browseName: 'Tank1', nodeId: 's=Tank1', organizedBy: space.rootFolder.objects });
  const argument = (name, dataType) => ({ name, dataType: opcua.DataType[dataType] });
  const mix = ns.addMethod(tank, {
    browseName: 'Mix',
    nodeId: 's=Tank1.Mix',
    inputArguments: [argument('a', 'Double'), argument('b', 'Int32')],
    outputArguments: [argument('product', 'Double'), argument('text', 'String')],
  });
  mix.bindMethod((inputs, context, done) =>
    done(null, {
      statusCode: opcua.StatusCodes.Good,
      outputArguments: [
        { dataType: 'Double', value: inputs[0].value * inputs[1].value },
        { dataType: 'String', value: `of ${context.session.getSessionId() ? 'a session' : 'nobody'}` },
      ],
    }),
  );
}

async function main() {
  const serverCertificateManager = new opcua.OPCUACertificateManager({ rootFolder: path.join(os.homedir(), 'pki'), automaticallyAcceptUnknownCertificate: false });
  await serverCertificateManager.initialize();
  for (const each of options.trusted) await serverCertificateManager.trustCertificate(readCertificate(each));
  const server = new opcua.OPCUAServer({
    port: Number(positionals[0]),
    hostname: '127.0.0.1',
    serverInfo: { applicationUri: options.uri, applicationName: { text: 'node-opcua' } },
    allowAnonymous: !options.user,
    userManager: { isValidUser: (name, password) => name === options.user && password === options.password },
    serverCertificateManager,
    ...security(),
  });
  await server.initialize();
  fill(server.engine.addressSpace);
  await server.start();
  process.stdout.write('ready\n');
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
