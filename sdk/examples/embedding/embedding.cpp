// SPDX-License-Identifier: Apache-2.0
// An application that uses Backplane: one value read, waited for, watched and written. Run it with
// a manifest and an address:
//
//     embedding plant.toml sensors:/line1/temperature
#include <backplane/sdk/endpoint.hpp>
#include <backplane/sdk/kernel.hpp>
#include <backplane/sdk/task.hpp>

#include <cstdio>
#include <exception>

using namespace std::chrono_literals;

namespace {

// Does not suspend where the endpoint answers at once.
backplane::Task<double> mean_of_two(const backplane::Endpoint& temperature) {
  const double first = co_await temperature.read<double>();
  const double second = co_await temperature.read<double>().within(2s);
  co_return (first + second) / 2;
}

void run(const char* manifest, const char* address) {
  auto kernel = backplane::Kernel::create().value();
  kernel.load(manifest).or_throw();
  kernel.start().or_throw();

  const auto temperature = kernel.open(address).value();
  std::printf("now %g\n", temperature.read<double>().value());  // blocks

  const auto changes = temperature.watch([](const backplane::MessageView& message) {
    std::printf("changed to %s\n", message.body().to_text().c_str());
  });
  changes.or_throw();

  temperature.write(42.5).or_throw();
  std::printf("mean %g\n", backplane::sync_wait(kernel.host(), mean_of_two(temperature)));

  // By callback: on whichever thread the answer comes.
  temperature.read<double>().then([](backplane::Result<double> value) {
    if (!value) std::printf("read failed: %s\n", value.status().to_string().c_str());
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: embedding MANIFEST ADDRESS\n");
    return 2;
  }
  try {
    run(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "embedding: %s\n", error.what());
    return 1;
  }
}
