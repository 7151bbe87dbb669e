// SPDX-License-Identifier: Apache-2.0
#include "resolver.hpp"

#include "handles.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

namespace backplane::mqtt {
namespace {

using AddressInfo = UniqueHandle<addrinfo, freeaddrinfo>;

Result<std::vector<std::string>> look_up(const std::string& name, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(name.c_str(), nullptr, &hints, &found);
  const AddressInfo owner(found);
  if (error != 0) {
    return Status(BP_UNAVAILABLE, "no address for '", name,
                  "': ", std::string_view(gai_strerror(error)));
  }
  std::vector<std::string> out;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
            0 &&
        std::find(out.begin(), out.end(), text) == out.end()) {
      out.emplace_back(text);
    }
  }
  return out;
}

}  // namespace

Resolver::~Resolver() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Resolver::resolve(const std::string& name, Done done) {
  if (name == "localhost") {  // RFC 6761, section 6.3: never asked for elsewhere
    done(std::vector<std::string>{"127.0.0.1", "::1"});
    return;
  }
  if (auto numeric = look_up(name, AI_NUMERICHOST)) {
    done(std::move(numeric));
    return;
  }
  thread_ = std::thread([this, name, done = std::move(done)]() mutable {
    auto answer = std::make_shared<Result<std::vector<std::string>>>(look_up(name, AI_ADDRCONFIG));
    const Status posted = post(host_, [this, answer, done = std::move(done)] {
      thread_.join();  // its last act was this post
      done(std::move(*answer));
    });
    if (posted.is_error()) {
      host_.log().error(
          "the loop took no answer of the resolver: the instance does not connect any more");
    }
  });
}

}  // namespace backplane::mqtt
