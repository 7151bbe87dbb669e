// SPDX-License-Identifier: Apache-2.0
#include "message_text.hpp"
#include "peek.hpp"

namespace backplane::cli {

void add_browse(CLI::App& app, Commands& commands) {
  auto options = std::make_shared<PeekOptions>();
  CLI::App* sub =
      app.add_subcommand("browse", "Print what lies below an address, a line of JSON an entry");
  add_peek_options(*sub, *options);
  sub->footer(R"(Examples:
  backplane browse coap://127.0.0.1/
  backplane browse --timeout 30 mqtt://127.0.0.1/)");
  sub->callback([options, &commands] {
    commands.chosen = [options, &commands] {
      return run_peek([&] {
        const Peek peek(*options, commands);
        MessageBuilder in;
        const auto entries = peek.run<std::vector<OwnedMessage>>(BP_V_BROWSE, in);
        if (!entries) {
          throw peek.failure("browse", entries.status());
        }
        for (const OwnedMessage& entry : *entries) {
          if (!print_line(entry_text(entry))) {
            break;
          }
        }
        return 0;
      });
    };
  });
}

}  // namespace backplane::cli
