// SPDX-License-Identifier: Apache-2.0
// A camera whose pictures many processes see: `camera publish KEY COUNT`, `camera view KEY COUNT`.
#include <backplane/sdk/channel.hpp>

#include <array>
#include <cstdlib>
#include <iostream>

namespace {

using namespace backplane;
using namespace std::chrono_literals;

struct Picture {
  uint32_t number;
  double exposure_ms;
  std::array<uint8_t, 640UL * 480> pixels;
};

void publish(Channel& channel, uint32_t count) {
  Publisher camera = channel.publisher().value();
  for (uint32_t i = 1; i <= count; ++i) {
    Picture& picture = camera.loan<Picture>();  // written where the others read it
    picture.number = i;
    picture.exposure_ms = 2.5 * i;
    camera.publish().or_throw();
  }
}

void view(Channel& channel, uint32_t count) {
  Subscriber viewer = channel.subscriber({.history = 3}).value();
  for (uint32_t i = 0; i < count; ++i) {
    const Sample sample = viewer.receive_within(20s).value();
    const Picture& picture = sample.as<Picture>();
    std::cout << "picture " << picture.number << ", " << picture.exposure_ms << " ms, "
              << sample.lost() << " lost before it" << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "camera publish KEY COUNT | camera view KEY COUNT\n";
    return 2;
  }
  try {
    const NativeKey key = NativeKey::parse(argv[2]).value();
    Channel channel = Channel::open(key, {.sample_size = sizeof(Picture)}).value();
    const auto count = static_cast<uint32_t>(std::atoi(argv[3]));
    std::string_view(argv[1]) == "publish" ? publish(channel, count) : view(channel, count);
  } catch (const Error& error) {
    std::cerr << "camera: " << error.what() << '\n';
    return 1;
  }
}
