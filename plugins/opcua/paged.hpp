// SPDX-License-Identifier: Apache-2.0
// Operations whose messages the server gives in pages: the next page is asked for when the credit
// has taken this one.
#pragma once

#include "job.hpp"
#include <backplane/sdk/guarded.hpp>
#include <backplane/sdk/operation.hpp>

#include <map>
#include <optional>

namespace backplane::opcua {

class Client;
class PagedStreams;

/// One operation; all but its being found is the loop's.
class PagedStream : public Job, public std::enable_shared_from_this<PagedStream> {
 public:
  PagedStream(Client& client, std::shared_ptr<Target> its_target, Op op)
      : Job(std::move(its_target)), client_(client), op_(op) {}

  void run(Session& session) final;
  void fail(const Status& status) final { finish(status); }
  void end(const Status& status);
  /// As many messages as there is credit for.
  void deliver();

 protected:
  enum class What : uint8_t { kPage, kRelease };

  /// Sends a request for the page at `point`, empty for the first, whose answer goes to take(); or
  /// tells the server that nobody wants it. May throw Error.
  virtual void ask(Session& session, const UA_ByteString& point, What what) = 0;
  /// Of the present page.
  virtual size_t size() const = 0;
  /// Behind the present page.
  virtual bool wants_more() const { return true; }
  /// False: something has to be known first; deliver() goes on. May throw Error.
  virtual bool fill(size_t i, MessageBuilder& message) = 0;
  /// "browsing 'i=85'".
  virtual std::string context() const = 0;

  /// The page is here, or why not; `point` is where the next one is.
  void take(UA_StatusCode status, const UA_ByteString& point);
  Client& client() const noexcept { return client_; }

 private:
  friend class PagedStreams;
  using Point = Native<UA_ByteString, UA_TYPES_BYTESTRING>;

  void go_on(What what);
  void finish(const Status& status);

  Client& client_;
  const Op op_;
  bool is_over_ = false;
  bool has_page_ = false;
  Point point_;
  uint64_t generation_ = 0;  // of the session that the page is from
  size_t next_ = 0;
};

/// Those of a client. What may be called on any thread only asks the loop.
class PagedStreams {
 public:
  explicit PagedStreams(Client& client) : client_(client) {}

  Status begin(std::shared_ptr<PagedStream> stream);
  /// No-ops for an operation that is none of these.
  void cancel(Op op) noexcept { poke(op, true); }
  void credit(Op op) noexcept { poke(op, false); }
  /// Ends all, and refuses new ones. [loop]
  void stop(const Status& status);

 private:
  friend class PagedStream;
  struct Streams {
    std::map<bp_op*, std::shared_ptr<PagedStream>> all;
    std::optional<Status> stopped;
  };
  void poke(Op op, bool cancelled) noexcept;

  Client& client_;
  Guarded<Streams> streams_;
};

}  // namespace backplane::opcua
