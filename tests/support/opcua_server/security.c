// SPDX-License-Identifier: Apache-2.0
#include "security.h"

#include <open62541/plugin/accesscontrol_default.h>
#include <open62541/plugin/pki_default.h>
#include <open62541/server_config_default.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kMost = 8 };

struct options {
  UA_ByteString certificate;
  UA_ByteString key;
  const char* policies[kMost];
  size_t policies_size;
  const char* mode;
  const char* trusted;
  UA_UsernamePasswordLogin users[kMost];
  size_t users_size;
  UA_Boolean anonymous;
  UA_Boolean plain_password;
  const char* uri;
};

static UA_ByteString content(const char* path) {
  UA_ByteString out = UA_BYTESTRING_NULL;
  FILE* file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    exit(2);
  }
  UA_ByteString_allocBuffer(&out, 1 << 16);
  out.length = fread(out.data, 1, out.length, file);
  fclose(file);
  return out;
}

static void parse(struct options* out, int argc, char** argv, int first) {
  for (int i = first; i < argc; ++i) {
    const char* name = argv[i];
    if (strcmp(name, "--no-anonymous") == 0) {
      out->anonymous = false;
      continue;
    }
    if (strcmp(name, "--plain-password") == 0) {
      out->plain_password = true;
      continue;
    }
    char* value = i + 1 < argc ? argv[++i] : argv[i];
    if (strcmp(name, "--certificate") == 0) {
      out->certificate = content(value);
    } else if (strcmp(name, "--key") == 0) {
      out->key = content(value);
    } else if (strcmp(name, "--policy") == 0 && out->policies_size < kMost) {
      out->policies[out->policies_size++] = value;
    } else if (strcmp(name, "--mode") == 0) {
      out->mode = value;
    } else if (strcmp(name, "--trusted") == 0) {
      out->trusted = value;
    } else if (strcmp(name, "--uri") == 0) {
      out->uri = value;
    } else if (strcmp(name, "--user") == 0 && out->users_size < kMost) {
      char* colon = strchr(value, ':');
      *colon = '\0';
      out->users[out->users_size].username = UA_STRING(value);
      out->users[out->users_size++].password = UA_STRING(colon + 1);
    } else {
      fprintf(stderr, "unknown option %s\n", name);
      exit(2);
    }
  }
}

typedef UA_StatusCode (*add_policy)(UA_ServerConfig*, const UA_ByteString*, const UA_ByteString*);

static const struct {
  const char* name;
  add_policy add;
} kPolicies[] = {
    {"Basic128Rsa15", UA_ServerConfig_addSecurityPolicyBasic128Rsa15},
    {"Basic256", UA_ServerConfig_addSecurityPolicyBasic256},
    {"Basic256Sha256", UA_ServerConfig_addSecurityPolicyBasic256Sha256},
    {"Aes128_Sha256_RsaOaep", UA_ServerConfig_addSecurityPolicyAes128Sha256RsaOaep},
    {"Aes256_Sha256_RsaPss", UA_ServerConfig_addSecurityPolicyAes256Sha256RsaPss},
};

static UA_StatusCode add_endpoint(UA_ServerConfig* config, const struct options* options,
                                  const char* policy) {
  char uri[128];
  snprintf(uri, sizeof uri, "http://opcfoundation.org/UA/SecurityPolicy#%s", policy);
  if (strcmp(policy, "None") == 0) {
    config->securityPolicyNoneDiscoveryOnly = false;
    return UA_ServerConfig_addEndpoint(config, UA_STRING(uri), UA_MESSAGESECURITYMODE_NONE);
  }
  UA_StatusCode status = UA_STATUSCODE_GOOD;
  if (options->mode == NULL || strcmp(options->mode, "sign") == 0) {
    status |= UA_ServerConfig_addEndpoint(config, UA_STRING(uri), UA_MESSAGESECURITYMODE_SIGN);
  }
  if (options->mode == NULL || strcmp(options->mode, "sign_and_encrypt") == 0) {
    status |=
        UA_ServerConfig_addEndpoint(config, UA_STRING(uri), UA_MESSAGESECURITYMODE_SIGNANDENCRYPT);
  }
  return status;
}

static UA_StatusCode set_trusted(UA_ServerConfig* config, const char* folder) {
  UA_CertificateVerification* stores[] = {&config->secureChannelPKI, &config->sessionPKI};
  UA_StatusCode status = UA_STATUSCODE_GOOD;
  for (size_t i = 0; i < 2; ++i) {
    stores[i]->clear(stores[i]);
    stores[i]->logging = config->logging;
#ifdef UA_ENABLE_CERT_REJECTED_DIR
    status |= UA_CertificateVerification_CertFolders(stores[i], folder, folder, folder, "");
#else
    status |= UA_CertificateVerification_CertFolders(stores[i], folder, folder, folder);
#endif
  }
  return status;
}

UA_StatusCode add_endpoints(UA_ServerConfig* config, UA_UInt16 port, int argc, char** argv,
                            int first) {
  if (first >= argc) {
    return UA_ServerConfig_setMinimal(config, port, NULL);
  }
  struct options options;
  memset(&options, 0, sizeof options);
  options.anonymous = true;
  parse(&options, argc, argv, first);
  UA_StatusCode status = UA_ServerConfig_setBasics_withPort(config, port);
  status |= UA_ServerConfig_addSecurityPolicyNone(config, NULL);
  config->securityPolicyNoneDiscoveryOnly = true;
  config->allowNonePolicyPassword = options.plain_password;
  if (options.trusted != NULL) {
    status |= set_trusted(config, options.trusted);
  }
  for (size_t i = 0; i < options.policies_size; ++i) {
    for (size_t j = 0; j < sizeof kPolicies / sizeof *kPolicies; ++j) {
      if (strcmp(kPolicies[j].name, options.policies[i]) == 0) {
        status |= kPolicies[j].add(config, &options.certificate, &options.key);
      }
    }
  }
  status |=
      UA_AccessControl_default(config, options.anonymous, NULL, options.users_size, options.users);
  for (size_t i = 0; i < options.policies_size; ++i) {
    status |= add_endpoint(config, &options, options.policies[i]);
  }
  if (options.uri != NULL) {
    UA_String_clear(&config->applicationDescription.applicationUri);
    config->applicationDescription.applicationUri = UA_STRING_ALLOC(options.uri);
  }
  UA_ByteString_clear(&options.certificate);
  UA_ByteString_clear(&options.key);
  return status;
}
