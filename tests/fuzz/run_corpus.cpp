// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target once over every file of the folders named, without libFuzzer: what was found
// once stays found, in every preset.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// The number of files run.
std::size_t run_folder(const std::filesystem::path& folder) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    std::printf("%s\n", entry.path().c_str());
    std::fflush(stdout);  // the last line names the file that crashed
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++files;
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t files = 0;
  try {
    for (int i = 1; i < argc; ++i) files += run_folder(argv[i]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  if (files == 0) std::fprintf(stderr, "error: no input; name a folder with at least one file\n");
  return files == 0 ? 1 : 0;
}
