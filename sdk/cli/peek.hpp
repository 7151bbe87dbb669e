// SPDX-License-Identifier: Apache-2.0
// What read, write, call, watch and browse share: their options, and the endpoint they act on.
#pragma once

#include "commands.hpp"
#include <backplane/sdk/kernel.hpp>

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

namespace backplane::cli {

struct PeekOptions {
  std::string address;
  std::string value;
  std::string manifest;
  double timeout_s = 10;  // 0: none
  uint64_t count = 0;     // watch: 0 is no limit
  bool full = false;
  std::optional<unsigned> qos;
  bool retain = false;
  std::string method;
  std::string content_type;
  std::vector<std::string> headers;  // NAME=TEXT, of the wire
  std::vector<std::string> options;  // NAME=TEXT, of the mechanism
  std::string log_level = "error";

  std::optional<std::chrono::nanoseconds> timeout() const;
};

/// Adds the address and the options of all five. `app` is a subcommand.
void add_peek_options(CLI::App& app, PeekOptions& options);
/// Those of requests that carry a body: qos, retain, content type.
void add_body_options(CLI::App& app, PeekOptions& options);

/// A kernel in which only what the address needs has been started, and the address opened.
class Peek {
 public:
  /// Throws Stop.
  Peek(const PeekOptions& options, const Commands& commands);

  /// Why it goes no further: the text for standard error, and the exit code.
  struct Stop {
    std::string why;
    int exit_code;
  };

  const Endpoint& endpoint() const { return endpoint_; }
  /// Headers that the options ask for, in `builder`. Throws Stop.
  void add_headers(MessageBuilder& builder) const;
  /// Runs `verb` on the endpoint, with the headers that the options ask for, in their time. Blocks.
  template <class T>
  auto run(uint16_t verb, MessageBuilder& in) const {
    add_headers(in);
    return Operation<T>(kernel_.host(), {verb, 0, endpoint_.ref(), {}, {}}, in.view(), {})
        .within(options_.timeout())
        .get();
  }
  /// Why `verb` on the address failed; when time ran out, with what the instance says about its
  /// connection.
  Stop failure(std::string_view verb, const Status& status) const;
  /// Messages that came and were not delivered.
  int64_t dropped() const;

 private:
  const PeekOptions& options_;
  Kernel kernel_;
  Endpoint endpoint_;
  std::chrono::steady_clock::time_point opened_;
};

/// Runs `body` and prints why it stopped, if it did. The exit code.
int run_peek(const std::function<int()>& body);

/// The value that the argument says as JSON; "-" reads it from standard input. Throws Stop.
OwnedMessage value_of_argument(const std::string& text);

/// Prints a line; false when nobody reads standard output any more.
bool print_line(const std::string& text);

/// The part of a manifest that one instance needs: itself, and the credentials. Neither what it
/// comes after nor a route is in it, and the system is called look://NAME, so that looking at a
/// system starts no second one. Throws Stop.
std::string manifest_of_instance(const std::string& file, const std::string& instance);

}  // namespace backplane::cli
