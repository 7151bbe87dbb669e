// SPDX-License-Identifier: Apache-2.0
// Who adds for others: `adder serve KEY COUNT`, `adder add KEY A B`.
#include <backplane/sdk/request.hpp>

#include <cstdlib>
#include <iostream>

namespace {

using namespace backplane;
using namespace std::chrono_literals;

struct Pair {
  double a;
  double b;
};

void serve(const NativeKey& key, int count) {
  Responder adder =
      Responder::open(key, {.request_size = sizeof(Pair), .response_size = sizeof(double)}).value();
  std::cout << "serving" << std::endl;
  for (int i = 0; i < count; ++i) {
    Request request = adder.receive().value();
    const auto [a, b] = request.as<Pair>();
    const Status status = request.respond(a + b);
    if (status.code() != BP_UNAVAILABLE) {  // who asked may be gone
      status.or_throw();
    }
  }
}

void add(const NativeKey& key, double a, double b) {
  Requester requester = Requester::open(key).value();
  std::cout << requester.call(Pair{a, b}, 20s).value().as<double>() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view action = argc > 1 ? argv[1] : "";
  if (!(action == "serve" && argc == 4) && !(action == "add" && argc == 5)) {
    std::cerr << "adder serve KEY COUNT | adder add KEY A B\n";
    return 2;
  }
  try {
    const NativeKey key = NativeKey::parse(argv[2]).value();
    action == "serve" ? serve(key, std::atoi(argv[3]))
                      : add(key, std::atof(argv[3]), std::atof(argv[4]));
  } catch (const Error& error) {
    std::cerr << "adder: " << error.what() << '\n';
    return 1;
  }
}
