// SPDX-License-Identifier: Apache-2.0
// What clients may send: the input is a row of pieces, each with its length in front (16 bits). The
// first byte says whether they are bytes as they come (0), or requests in a session: the type of
// one (16 bits) and what follows the session's token, which is put in as it must be. All of it goes
// through the plugin's server; whatever comes, it ends well, and what an application reads is still
// of its type.
#include "backplane/sdk/run_on_loop.hpp"
#include "local_node.hpp"
#include "support/fake_host.hpp"

#include <cstdlib>
#include <open62541/types_generated_handling.h>
#include <optional>
#include <sys/socket.h>

namespace {

using namespace backplane;
using namespace backplane::opcua;

constexpr uint32_t kChunk = 8192;  // the least that a client may say; more costs memory, thus time
constexpr int kMostPieces =
    16;  // a long row finds no more than several short ones, which are faster
constexpr std::size_t kBodyOfMessage = 24;
constexpr int kInputsPerServer = 1000;  // what they leave behind is bounded, but not small

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

/// What activates a session: making one takes longer than all else, so it outlives its connection.
struct Session {
  std::string token;
  std::string policy;
};

class Bench {
 public:
  Bench() : host_(fake_.raw()), server_(host_, config()) { server_.start(); }
  ~Bench() {
    bool has_ended = false;
    server_.stop([&] { has_ended = true; });
    fake_.loop.run();
    require(has_ended);
  }
  Server& server() { return server_; }
  void run_loop() { fake_.loop.run(); }
  Session session;

  void check() {
    for (const auto& variable : server_.nodes().variables()) {
      bp_op op{};
      const auto address = parse_address(variable->declared().id);
      const Status status = server_.read(*address, "it", &op);
      require(status.is_error() || variable->declared().shape.type != 11 ||
              op.out.body.tag == BP_T_FLOAT || op.out.body.tag == BP_T_NULL ||
              op.out.body.tag == BP_T_ARRAY);
      static_cast<void>(Buffer::adopt(op.out.owner));
    }
  }

 private:
  Config config() {
    const auto node = [this](std::string_view id, std::string_view type, ValueView dimensions) {
      return arena_.map({{"id", id},
                         {"type", type},
                         {"access", "read_write"},
                         {"array", dimensions},
                         {"history", 4}});
    };
    const ValueView argument = arena_.map({{"name", "open"}, {"type", "Double"}});
    return Config(arena_.map(
        {{"listen", "opc.tcp://127.0.0.1:0"},
         {"application_uri", "urn:fuzz"},
         {"security_mode", "none"},
         {"plain_password", false},
         {"check_host_name", true},
         {"users", arena_.list({})},
         {"namespaces", arena_.list({})},
         {"nodes", arena_.list({node("ns=1;s=A.Number", "Double", arena_.list({})),
                                node("ns=1;s=A.Any", "Variant", arena_.list({})),
                                node("ns=1;s=A.Row", "Double", arena_.list({0}))})},
         {"methods",
          arena_.list({arena_.map({{"id", "ns=1;s=A.Set"}, {"inputs", arena_.list({argument})}})})},
         {"max_connections", 8},
         {"max_sessions", 2 * kMostPieces * kInputsPerServer},
         {"max_subscriptions", 2 * kInputsPerServer},
         {"max_monitored_items", 1024},
         {"max_message", 65536},
         {"max_calls", 4},
         {"call_timeout_s", 10}}));
  }

  StackArena<4096> arena_;
  test::FakeHost fake_;
  Host host_;
  Server server_;
};

/// A connection of a client to the server.
class Peer {
 public:
  explicit Peer(Bench& bench) : bench_(bench) {
    int ends[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    ours_ = UniqueFd(ends[1]);
    id_ = bench_.server().listener().accepted(UniqueFd(ends[0]), "fuzz");
  }
  ~Peer() {
    ours_.reset();
    bench_.run_loop();  // reads the end of the connection
  }
  bool is_open() { return !bench_.server().listener().peer(id_).empty(); }
  void send(std::string_view bytes) { bench_.server().listener().received(id_, bytes); }

  /// Opens a channel, and takes over the session of the peer before.
  void begin() {
    std::string hello("HELF");
    put(hello, 32, 0, kChunk, kChunk, 0, 0, 0xFFFFFFFFu);
    send(hello);
    receive();
    UA_OpenSecureChannelRequest open;
    UA_OpenSecureChannelRequest_init(&open);
    open.securityMode = UA_MESSAGESECURITYMODE_NONE;
    open.requestedLifetime = 3'600'000;
    constexpr std::string_view kPolicy = "http://opcfoundation.org/UA/SecurityPolicy#None";
    std::string header;
    put(header, 0, static_cast<uint32_t>(kPolicy.size()));
    header += kPolicy;
    put(header, 0xFFFFFFFFu, 0xFFFFFFFFu);
    message("OPN", header, encoded(open, UA_TYPES_OPENSECURECHANNELREQUEST));
    const std::string opened = receive();
    const size_t at = 8 + 4 + 4 + kPolicy.size() + 4 + 4 + 8;
    UA_OpenSecureChannelResponse channel;
    if (!decode(opened, at, channel, UA_TYPES_OPENSECURECHANNELRESPONSE)) {
      return;
    }
    channel_ = channel.securityToken.channelId;
    token_ = channel.securityToken.tokenId;
    UA_OpenSecureChannelResponse_clear(&channel);
    if (!activate()) {
      create();
      require(activate());
    }
  }
  /// `piece` has the request's type, and what follows the session's token.
  void request_piece(std::string_view piece) {
    if (piece.size() >= 2) {
      std::string body("\1\0", 2);
      body += piece.substr(0, 2);
      body += bench_.session.token;
      body += piece.substr(2);
      request(body);
      receive();
    }
  }

 private:
  template <class... Numbers>
  static void put(std::string& to, Numbers... numbers) {
    const auto one = [&to](uint32_t number) {
      to.append(reinterpret_cast<const char*>(&number), sizeof number);
    };
    (one(static_cast<uint32_t>(numbers)), ...);
  }
  template <class T>
  static std::string encoded_plain(const T& value, int type) {
    UA_ByteString out = UA_BYTESTRING_NULL;
    require(UA_encodeBinary(&value, &UA_TYPES[type], &out) == UA_STATUSCODE_GOOD);
    std::string text(view(out));
    UA_ByteString_clear(&out);
    return text;
  }
  template <class T>
  static std::string encoded(const T& value, int type) {
    return encoded_plain(UA_TYPES[type].binaryEncodingId, UA_TYPES_NODEID) +
           encoded_plain(value, type);
  }
  template <class T>
  static bool decode(const std::string& from, size_t at, T& to, int type) {
    if (from.size() <= at + 4) {
      return false;
    }
    const UA_ByteString bytes = borrowed(std::string_view(from).substr(at + 4));  // its type's id
    return UA_decodeBinary(&bytes, &to, &UA_TYPES[type], nullptr) == UA_STATUSCODE_GOOD;
  }
  void create() {
    UA_CreateSessionRequest create;
    UA_CreateSessionRequest_init(&create);
    create.requestHeader.timestamp = UA_DATETIME_UNIX_EPOCH;
    create.requestedSessionTimeout = 1000;
    create.clientDescription.applicationUri = borrowed("urn:fuzz");
    request(encoded(create, UA_TYPES_CREATESESSIONREQUEST));
    UA_CreateSessionResponse session;
    require(decode(receive(), kBodyOfMessage, session, UA_TYPES_CREATESESSIONRESPONSE));
    require(session.serverEndpointsSize > 0 &&
            session.serverEndpoints[0].userIdentityTokensSize > 0);
    bench_.session = {encoded_plain(session.authenticationToken, UA_TYPES_NODEID),
                      std::string(view(session.serverEndpoints[0].userIdentityTokens[0].policyId))};
    UA_CreateSessionResponse_clear(&session);
  }
  bool activate() {
    if (bench_.session.token.empty()) {
      return false;
    }
    UA_ActivateSessionRequest activate;
    UA_ActivateSessionRequest_init(&activate);
    activate.requestHeader.timestamp = UA_DATETIME_UNIX_EPOCH;
    const UA_ByteString token = borrowed(bench_.session.token);
    require(UA_decodeBinary(&token, &activate.requestHeader.authenticationToken,
                            &UA_TYPES[UA_TYPES_NODEID], nullptr) == UA_STATUSCODE_GOOD);
    UA_AnonymousIdentityToken nobody;
    UA_AnonymousIdentityToken_init(&nobody);
    nobody.policyId = borrowed(bench_.session.policy);
    UA_ExtensionObject_setValueNoDelete(&activate.userIdentityToken, &nobody,
                                        &UA_TYPES[UA_TYPES_ANONYMOUSIDENTITYTOKEN]);
    request(encoded(activate, UA_TYPES_ACTIVATESESSIONREQUEST));
    UA_NodeId_clear(&activate.requestHeader.authenticationToken);
    UA_ActivateSessionResponse response;
    if (!decode(receive(), kBodyOfMessage, response, UA_TYPES_ACTIVATESESSIONRESPONSE)) {
      return false;
    }
    const bool is_good = response.responseHeader.serviceResult == UA_STATUSCODE_GOOD;
    UA_ActivateSessionResponse_clear(&response);
    return is_good;
  }
  void message(std::string_view kind, std::string_view header, std::string_view body) {
    std::string out(kind);
    out += 'F';
    put(out, 8 + header.size() + 8 + body.size());
    out += header;
    ++sequence_;
    put(out, sequence_, sequence_);
    out += body;
    send(out);
  }
  void request(std::string_view body) {
    std::string header;
    put(header, channel_, token_);
    message("MSG", header, body);
  }
  std::string receive() {
    std::string out(kChunk, '\0');
    const ssize_t n = recv(ours_.get(), out.data(), out.size(), 0);
    out.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return out;
  }

  Bench& bench_;
  UniqueFd ours_;
  uintptr_t id_ = 0;
  uint32_t channel_ = 0;
  uint32_t token_ = 0;
  uint32_t sequence_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::optional<Bench> bench;
  static std::optional<Peer> session;  // closed by what is no request
  static int left = 0;
  if (size == 0) {
    return 0;
  }
  if (left-- == 0) {
    session.reset();
    bench.reset();
    bench.emplace();
    left = kInputsPerServer;
  }
  const bool is_raw = data[0] == 0;
  std::optional<Peer> raw;
  if (is_raw) {
    raw.emplace(*bench);
  } else if (!session || !session->is_open()) {
    session.reset();
    session.emplace(*bench);
    session->begin();
  }
  ++data;
  --size;
  for (int pieces = 0; size > 2 && pieces < kMostPieces; ++pieces) {
    const std::size_t length = std::min(std::size_t{data[0]} | std::size_t{data[1]} << 8, size - 2);
    const std::string_view piece(reinterpret_cast<const char*>(data + 2), length);
    is_raw ? raw->send(piece) : session->request_piece(piece);
    data += 2 + length;
    size -= 2 + length;
  }
  raw.reset();
  bench->run_loop();
  bench->check();
  return 0;
}
