// SPDX-License-Identifier: Apache-2.0
#include "message_text.hpp"
#include "peek.hpp"

namespace backplane::cli {

void add_call(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<PeekOptions>();
  CLI::App* sub = app.add_subcommand("call", "Send a request, print the answer as JSON");
  add_peek_options(*sub, *options);
  sub->add_option("value", options->value, "The argument as JSON; - reads it from standard input")
      ->type_name("VALUE");
  sub->add_option("--method", options->method, "The protocol's own method: POST FETCH PATCH DELETE")
      ->type_name("NAME");
  sub->add_flag("-f,--full", options->full, "Print time and headers too, as an object");
  add_body_options(*sub, *options);
  sub->footer(R"(Examples:
  backplane call coap://127.0.0.1/jobs '{"line": 1}'
  backplane call --method DELETE coap://127.0.0.1/jobs/7
  backplane call format://json/encode '[1, 2]')");
  sub->callback([options, &commands] {
    commands.chosen = [options, &commands] {
      return run_peek([&] {
        const OwnedMessage value =
            options->value.empty() ? OwnedMessage() : value_of_argument(options->value);
        const Peek peek(*options, commands);
        MessageBuilder in(value.body());
        const auto answer = peek.run<OwnedMessage>(BP_V_CALL, in);
        if (!answer) {
          throw peek.failure("call", answer.status());
        }
        print_line(options->full ? message_text(*answer) : body_text(answer->body()));
        return 0;
      });
    };
  });
}

}  // namespace backplane::cli
