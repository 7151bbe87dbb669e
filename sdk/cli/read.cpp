// SPDX-License-Identifier: Apache-2.0
#include "message_text.hpp"
#include "peek.hpp"

namespace backplane::cli {

void add_read(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<PeekOptions>();
  CLI::App* sub = app.add_subcommand("read", "Print the present value of an address, as JSON");
  add_peek_options(*sub, *options);
  sub->add_flag("-f,--full", options->full, "Print path, time and headers too, as an object");
  sub->footer(R"(Examples:
  backplane read coap://127.0.0.1/line1/temperature
  backplane read --full coap://127.0.0.1/line1/temperature
  backplane read -m plant.toml cloud:plant/tank1/valve)");
  sub->callback([options, &commands] {
    commands.chosen = [options, &commands] {
      return run_peek([&] {
        const Peek peek(*options, commands);
        MessageBuilder in;
        const auto answer = peek.run<OwnedMessage>(BP_V_READ, in);
        if (!answer) {
          throw peek.failure("read", answer.status());
        }
        print_line(options->full ? message_text(*answer) : body_text(answer->body()));
        return 0;
      });
    };
  });
}

}  // namespace backplane::cli
