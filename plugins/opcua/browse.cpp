// SPDX-License-Identifier: Apache-2.0
#include "browse.hpp"

#include "client.hpp"
#include "error_map.hpp"
#include "reference.hpp"
#include "values.hpp"

namespace backplane::opcua {
namespace {

constexpr UA_UInt32 kPage = 500;

using Page = Native<UA_BrowseResult, UA_TYPES_BROWSERESULT>;

}  // namespace

/// One operation; all but its being found is the loop's.
class Browses::Look final : public Job, public std::enable_shared_from_this<Look> {
 public:
  Look(Browses& browses, std::shared_ptr<Target> its_target, Op op)
      : Job(std::move(its_target)), browses_(browses), op_(op) {}

  void run(Session& session) override {
    if (is_over_) {
      return;
    }
    UA_BrowseDescription node;
    UA_BrowseDescription_init(&node);
    node.nodeId = *target().node;
    node.browseDirection = UA_BROWSEDIRECTION_FORWARD;
    node.referenceTypeId = UA_NODEID_NUMERIC(0, UA_NS0ID_HIERARCHICALREFERENCES);
    node.includeSubtypes = true;
    node.resultMask = UA_BROWSERESULTMASK_ALL;
    UA_BrowseRequest request;
    UA_BrowseRequest_init(&request);
    request.nodesToBrowse = &node;
    request.nodesToBrowseSize = 1;
    request.requestedMaxReferencesPerNode = kPage;
    session.ask<UA_BrowseResponse, UA_TYPES_BROWSERESPONSE>(
        request, UA_TYPES_BROWSEREQUEST,
        [self = shared_from_this()](const UA_BrowseResponse& response) {
          self->take(response.responseHeader.serviceResult, response.resultsSize, response.results);
        });
  }
  void fail(const Status& status) override { finish(status); }

  void end(const Status& status) {
    release();
    finish(status);
  }

  /// As many as there is credit for.
  void deliver() {
    while (!is_over_ && has_page_ && next_ < page_->referencesSize) {
      const Status status = deliver_one(page_->references[next_]);
      if (status.is_pending()) {
        return;  // more when there is credit
      }
      if (status.is_error()) {
        return end(status);
      }
      ++next_;
    }
    if (is_over_ || !has_page_) {
      return;
    }
    if (page_->continuationPoint.length == 0) {
      return finish(Status::ok());
    }
    ask_for_next();
  }

 private:
  Status deliver_one(const UA_ReferenceDescription& reference) {
    MessageBuilder entry;
    fill_entry(entry, reference);
    return browses_.client_.host().deliver(op_, MessageView(entry));
  }

  void take(UA_StatusCode service, size_t n, UA_BrowseResult* results) {
    const std::string context = concat("browsing '", target().text, "'");
    has_page_ = false;
    if (service != UA_STATUSCODE_GOOD) {
      return finish(bad_status(service, context));
    }
    if (n != 1 || is_bad(results[0].statusCode)) {
      return finish(bad_status(n == 1
                                   ? results[0].statusCode
                                   : static_cast<UA_StatusCode>(UA_STATUSCODE_BADUNKNOWNRESPONSE),
                               context));
    }
    page_ = Page::copy_of(results[0]);
    has_page_ = true;
    next_ = 0;
    if (is_over_) {
      return release();
    }
    deliver();
  }

  void ask_for_next() {
    has_page_ = false;
    if (Session* const session = browses_.client_.session()) {
      next_page(*session, false);
    } else {
      finish(Status(BP_UNAVAILABLE, "browsing '", target().text, "': the session was lost"));
    }
  }
  /// The server keeps the rest until it is asked for, or told that nobody wants it.
  void release() {
    Session* const session = browses_.client_.session();
    if (has_page_ && page_->continuationPoint.length != 0 && session != nullptr) {
      next_page(*session, true);
    }
    has_page_ = false;
  }
  void next_page(Session& session, bool releases) {
    UA_BrowseNextRequest request;
    UA_BrowseNextRequest_init(&request);
    request.releaseContinuationPoints = releases;
    request.continuationPoints = &page_->continuationPoint;
    request.continuationPointsSize = 1;
    session.ask<UA_BrowseNextResponse, UA_TYPES_BROWSENEXTRESPONSE>(
        request, UA_TYPES_BROWSENEXTREQUEST,
        [self = shared_from_this(), releases](const UA_BrowseNextResponse& response) {
          if (!releases) {
            self->take(response.responseHeader.serviceResult, response.resultsSize,
                       response.results);
          }
        });
  }

  void finish(const Status& status) {
    if (!std::exchange(is_over_, true)) {
      const auto self = shared_from_this();
      browses_.looks_.lock()->all.erase(op_);
      browses_.client_.host().complete(op_, status);
    }
  }

  Browses& browses_;
  const Op op_;
  bool is_over_ = false;
  bool has_page_ = false;
  Page page_;
  size_t next_ = 0;
};

Status Browses::begin(Op op, std::shared_ptr<Target> target) {
  auto look = std::make_shared<Look>(*this, std::move(target), op);
  {
    auto looks = looks_.lock();
    if (looks->stopped) {
      return *looks->stopped;
    }
    looks->all.insert_or_assign(op, look);
  }
  client_.submit(std::move(look));
  return Status::pending();
}

void Browses::stop(const Status& status) {
  std::map<bp_op*, std::shared_ptr<Look>> all;
  {
    auto looks = looks_.lock();
    looks->stopped = status;
    all = looks->all;
  }
  for (const auto& [op, look] : all) {
    look->end(status);
  }
}

void Browses::poke(Op op, bool cancelled) noexcept {
  boundary(
      [&] {
        std::shared_ptr<Look> look;
        {
          auto looks = looks_.lock();
          const auto at = looks->all.find(op);
          if (at == looks->all.end()) {
            return;
          }
          look = at->second;
        }
        post(client_.host(), [look, cancelled] {
          cancelled ? look->end(Status(BP_CANCELLED)) : look->deliver();
        }).or_throw();
      },
      [](const Status&) noexcept {});
}

}  // namespace backplane::opcua
