// SPDX-License-Identifier: Apache-2.0
// An endpoint on the instance's own server: a declared resource, or a path to be served.
#pragma once

#include "browse.hpp"
#include "server.hpp"

namespace backplane::coap {

class LocalPath final {
 public:
  /// `create`: the resource is made by the first read, write or watch, if there is none.
  LocalPath(Server& server, Target target, bool create)
      : server_(server), target_(std::move(target)), create_(create) {}

  Status read(Op op);
  Status write(Op op);
  Status watch(Op op);
  Status serve(Op op);
  Status browse(Op op);
  void cancel(Op op) noexcept;
  void credit(Op op, uint32_t n) noexcept;
  void ack(Op op, uint64_t seq, bp_status status) noexcept;

 private:
  std::shared_ptr<Resource> resource();
  std::shared_ptr<Resource> known() { return resource_.copy(); }

  Server& server_;
  const Target target_;
  const bool create_;
  Guarded<std::shared_ptr<Resource>> resource_;
  Browses browses_;
};

}  // namespace backplane::coap
