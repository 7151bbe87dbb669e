// SPDX-License-Identifier: Apache-2.0
#include "message_text.hpp"
#include "peek.hpp"

namespace backplane::cli {

void add_write(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<PeekOptions>();
  CLI::App* sub = app.add_subcommand("write", "Write a value, given as JSON, to an address");
  add_peek_options(*sub, *options);
  sub->add_option("value", options->value, "The value as JSON; - reads it from standard input")
      ->type_name("VALUE")
      ->required();
  add_body_options(*sub, *options);
  sub->footer(R"(Examples:
  backplane write coap://127.0.0.1/line1/temperature 42.5
  backplane write --qos 1 --retain mqtt://127.0.0.1/plant/tank1/valve/set 1
  backplane write mqtt://127.0.0.1/plant/note '"a text has quotes of its own"')");
  sub->callback([options, &commands] {
    commands.chosen = [options, &commands] {
      return run_peek([&] {
        const OwnedMessage value = value_of_argument(options->value);
        const Peek peek(*options, commands);
        MessageBuilder in(value.body());
        if (const Status status = peek.run<void>(BP_V_WRITE, in); status.is_error()) {
          throw peek.failure("write", status);
        }
        return 0;
      });
    };
  });
}

}  // namespace backplane::cli
