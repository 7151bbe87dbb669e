// SPDX-License-Identifier: Apache-2.0
// Paths that handlers serve: a peer's request becomes an operation on the handler, its result the
// answer. Loop thread only, except that operations complete anywhere.
#pragma once

#include "address.hpp"
#include "answer.hpp"
#include "link_format.hpp"
#include "proof.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/loop.hpp>
#include <backplane/sdk/unique_op.hpp>

#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

namespace backplane::coap {

class Served {
 public:
  /// Told when the operation of a request has completed, on the loop.
  using Answered = std::function<void(uint64_t id, Answer answer)>;

  Served(const Host& host, Answered answered) : host_(host), answered_(std::move(answered)) {}

  /// Takes a SERVE operation: PENDING, or why not.
  Status serve(Op op, uint64_t op_id, const Target& target);
  /// Withdraws; the operation completes when no request of it is left.
  void cancel(uint64_t op_id);
  void cancel_all();
  /// No handler and no request is left.
  bool is_empty() const noexcept { return handlers_.empty() && inbound_.empty(); }
  size_t requests() const noexcept { return inbound_.size(); }
  std::vector<Link> links() const;

  /// Whether somebody serves the path ("/a/b").
  bool has(std::string_view path) const noexcept { return find(path) != nullptr; }
  /// Throws Error (UNIMPLEMENTED): who serves the target answers peers alone. [any]
  void refuse_inside(const Target& target);
  /// Starts the handler's operation. The answer, if it is there at once; else it is told later,
  /// with the id. `body` is copied. `timeout`: the operation's deadline.
  std::optional<Answer> start(uint64_t id, std::string_view path, const coap_pdu_t* request,
                              Bytes body, std::string_view address, const Proof& proof,
                              std::chrono::nanoseconds timeout);
  /// Nobody waits for the answer any more.
  void abandon(uint64_t id);

 private:
  struct Handler {
    uint64_t op_id;
    Op op;
    bp_ref ref;
    bool is_prefix;
    Link link;
    size_t requests = 0;
    bool cancelled = false;
  };
  struct Inbound {
    Inbound(Served& its_served, uint64_t its_id, Handler& its_handler)
        : served(its_served),
          id(its_id),
          handler(its_handler),
          op(its_served.host_, this, &Served::done) {}
    Served& served;
    const uint64_t id;
    Handler& handler;
    coap_pdu_code_t method{};
    OwnedMessage in;
    bp_message raw{};
    UniqueOp op;
    alignas(16) std::byte scratch[512];
  };

  const Handler* find(std::string_view path) const noexcept;
  Handler* find(std::string_view path) noexcept {
    return const_cast<Handler*>(std::as_const(*this).find(path));
  }
  static void done(bp_op* op);
  Answer finish(Inbound& inbound, bp_status status);
  void leave(Handler& handler);

  const Host& host_;
  const Answered answered_;
  std::vector<std::unique_ptr<Handler>> handlers_;
  Guarded<std::multiset<std::string, std::less<>>> paths_;  // of handlers_, for who is elsewhere
  std::unordered_map<uint64_t, std::unique_ptr<Inbound>> inbound_;
};

}  // namespace backplane::coap
