// SPDX-License-Identifier: Apache-2.0
#include "peek.hpp"

#include "exit_code.hpp"
#include "kernel_options.hpp"
#include "log.hpp"
#include <backplane/sdk/json.hpp>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <iterator>

namespace backplane::cli {
namespace {

bool is_url(std::string_view address) {
  const size_t colon = address.find(':');
  return colon != address.npos && address.substr(colon).starts_with("://");
}

std::string instance_of(const std::string& address) {
  const size_t colon = address.find(':');
  if (colon == std::string::npos || colon == 0) {
    throw Peek::Stop{concat("'", address,
                            "' is no address; expected scheme://authority/path, or "
                            "instance:path with -m FILE"),
                     kUsage};
  }
  return address.substr(0, colon);
}

Kernel start_kernel(const PeekOptions& options, const Commands& commands) {
  KernelOptions kernel_options = cli::kernel_options(commands);
  kernel_options.log_level = log_level(options.log_level);
  auto log = std::make_shared<Log>(LogFormat::kText);
  kernel_options.log = [log](const LogRecord& record) { log->write(record); };

  const bool url = is_url(options.address);
  const std::string instance = url ? std::string() : instance_of(options.address);
  if (url != options.manifest.empty()) {
    throw Peek::Stop{url ? concat("'", options.address, "' is a URL: it needs no -m")
                         : concat("'", instance,
                                  "' is an instance of a manifest: give it with -m "
                                  "FILE, or a URL instead"),
                     kUsage};
  }
  if (!url) {
    // The whole manifest must be right, as it stands.
    Kernel checked = Kernel::create(kernel_options).value();
    std::string mistakes;
    const auto report = [&](const Diagnostic& found) {
      mistakes += concat(found.file, ':', found.line, ':', found.column, ": ", found.message, '\n');
    };
    if (checked.load(options.manifest, report).is_error()) {
      throw Peek::Stop{mistakes + "nothing was started", kRefused};
    }
  }
  Kernel kernel = Kernel::create(std::move(kernel_options)).value();
  if (!url) {
    kernel.load_text(options.manifest, manifest_of_instance(options.manifest, instance)).or_throw();
  }
  kernel.start().or_throw();
  return kernel;
}

std::string describe(const Status& status) {
  std::string text(status.message().empty() ? status_name(status.code()) : status.message());
  if (!status.domain().empty()) {
    text += concat(" (", status.domain(), ' ', status.native(), ')');
  }
  return text;
}

/// NAME=TEXT as a pair of texts, which is what a wire carries; in the builder's memory.
Pair pair_of(MessageBuilder& builder, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Peek::Stop{concat("'", text, "' is no pair, expected NAME=TEXT"), kUsage};
  }
  const std::string value = text.substr(equals + 1);
  const ValueView name = builder.arena().copy(text.substr(0, equals));
  return {name, builder.arena().copy(value)};
}

}  // namespace

std::optional<std::chrono::nanoseconds> PeekOptions::timeout() const {
  return timeout_s > 0 ? std::optional(std::chrono::nanoseconds(std::llround(timeout_s * 1e9)))
                       : std::nullopt;
}

void add_peek_options(CLI::App& app, PeekOptions& options) {
  app.add_option("address", options.address, "scheme://authority/path, or instance:path with -m")
      ->type_name("ADDRESS")
      ->required();
  app.add_option("-m,--manifest", options.manifest,
                 "The manifest that declares the instance; it alone is started")
      ->type_name("FILE");
  app.add_option("--timeout", options.timeout_s, "Seconds to wait; 0 waits for ever")
      ->type_name("S")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  app.add_option("--option", options.options,
                 "An option of the mechanism, see its README; the value is JSON, or else text")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  app.add_option("--log-level", options.log_level, "What is logged on standard error")
      ->check(CLI::IsMember({"error", "warning", "info", "debug", "trace"}))
      ->capture_default_str();
}

void add_body_options(CLI::App& app, PeekOptions& options) {
  app.add_option("--header", options.headers, "Metadata of the wire: a user property (MQTT)")
      ->type_name("NAME=TEXT")
      ->allow_extra_args(false);
  app.add_option("--content-type", options.content_type, "The media type of the value")
      ->type_name("TYPE");
  app.add_option("--qos", options.qos, "0, 1 or 2 (MQTT); 0 non-confirmable, 1 confirmable (CoAP)")
      ->check(CLI::Range(0, 2));
  app.add_flag("--retain", options.retain, "Keep it as the address's last value (MQTT)");
}

Peek::Peek(const PeekOptions& options, const Commands& commands)
    : options_(options), kernel_(start_kernel(options, commands)) {
  auto opened = kernel_.open(options.address).within(options.timeout()).get();
  if (!opened) {
    throw Stop{concat("opening ", options.address, ": ", describe(opened.status())),
               exit_code_of_open(opened.status())};
  }
  endpoint_ = *std::move(opened);
  opened_ = std::chrono::steady_clock::now();
}

void Peek::add_headers(MessageBuilder& builder) const {
  for (const std::string& header : options_.headers) {
    const Pair pair = pair_of(builder, header);
    const auto name = ValueView(pair.key).get<std::string_view>().value();
    if (name == "qos" || name == "retain") {
      throw Stop{concat("--header ", header, " would only be metadata of that name; --", name,
                        " is what the protocol acts on"),
                 kUsage};
    }
    builder.header(name, pair.val);
  }
  if (!options_.options.empty()) {
    MapBuilder map(builder.arena());
    for (const std::string& option : options_.options) {
      const Pair pair = pair_of(builder, option);
      const auto text = ValueView(pair.val).get<std::string_view>().value();
      const auto json = from_json(text);  // "5%" is none
      map.add(pair.key, json ? builder.arena().copy(json->body()) : ValueView(pair.val));
    }
    builder.header(BP_H_OPTIONS, builder.arena().map(map.pairs()));
  }
  if (options_.qos) {
    builder.header(BP_H_QOS, *options_.qos);
  }
  if (options_.retain) {
    builder.header(BP_H_RETAIN, true);
  }
  if (!options_.method.empty()) {
    builder.header(BP_H_METHOD, options_.method);
  }
  if (!options_.content_type.empty()) {
    builder.header(BP_H_CONTENT_TYPE, options_.content_type);
  }
}

Peek::Stop Peek::failure(std::string_view verb, const Status& status) const {
  std::string why = concat(verb, " ", options_.address, ": ");
  if (status.code() != BP_DEADLINE_EXCEEDED) {
    return {why + describe(status), exit_code(status)};
  }
  const auto timeout = options_.timeout();
  const bool is_ours = timeout && (status.message().empty() ||
                                   std::chrono::steady_clock::now() >= opened_ + *timeout);
  why += is_ours ? concat("no answer within ", ValueView(options_.timeout_s).to_text(), " s")
                 : describe(status);
  for (const InstanceInfo& instance : kernel_.instances()) {
    if (instance.state != BP_STATE_UP && !instance.detail.empty()) {
      why += concat("; ", instance.detail);  // the cause, such as a refused connection
    }
  }
  return {why, exit_code(status)};
}

int64_t Peek::dropped() const {
  int64_t dropped = 0;
  for (const MetricInfo& metric : kernel_.metrics()) {
    if (metric.name == "messages_dropped_total") {
      // Not what came after the end, or for nobody.
      const bool is_loss = std::none_of(
          metric.labels.begin(), metric.labels.end(),
          [](const auto& label) { return label.second == "ended" || label.second == "unwatched"; });
      dropped += is_loss ? metric.value : 0;
    }
  }
  return dropped;
}

int run_peek(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Peek::Stop& stop) {
    std::cerr << "backplane: error: " << stop.why << '\n';
    return stop.exit_code;
  }
}

OwnedMessage value_of_argument(const std::string& text) {
  std::string input = text;
  if (text == "-") {
    input.assign(std::istreambuf_iterator<char>(std::cin), {});
  }
  auto value = from_json(input);
  if (!value) {
    throw Peek::Stop{
        concat("the value '", input.substr(0, 40), "' is no JSON: ", value.status().message(),
               "; a text is written in quotes within quotes: '\"on\"'"),
        kUsage};
  }
  return *std::move(value);
}

bool print_line(const std::string& text) {
  std::cout << text << '\n' << std::flush;
  return std::cout.good();
}

}  // namespace backplane::cli
