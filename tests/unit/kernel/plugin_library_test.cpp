// SPDX-License-Identifier: Apache-2.0
// Which plugin files are refused, with which words, and that nothing starts beside one: with real
// libraries, of tests/support/bad_plugin.
#include "plugin_library.hpp"

#include "support/as_nobody.hpp"
#include "support/diagnostic_lines.hpp"
#include "support/scratch_folder.hpp"
#include "support/scripted_plugin.hpp"
#include "trusted_file.hpp"

#include <gmock/gmock.h>

#include <elf.h>
#include <fstream>

namespace backplane::kernel {
namespace {

namespace fs = std::filesystem;
using test::ScratchFolder;
using test::Script;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string manifest_of(const std::string& id, const std::string& top = {},
                        const std::string& needed = "'bp.endpoint/1'") {
  return "manifest_version = 1\nid = '" + id +
         "'\nversion = '1.0.0'\ndescription = 'x'\nlicense = 'MIT'\nstatus = 'draft'\n"
         "security_posture = 'local'\n" +
         top + "[services]\nneeded = [" + needed +
         "]\n[config]\ntype = 'object'\nadditionalProperties = false\n";
}

/// What bp_kernel_start said and did, with an instance of a good plugin before that of the bad one.
struct Start {
  bp_status status = BP_OK;
  std::string error;
  std::vector<std::string> errors_logged;
  int created = 0;
  std::vector<std::uint32_t> lives;
};

/// A folder with one plugin, `bad`, in it, and its manifest in another.
class BadPlugin : public ::testing::Test {
 protected:
  BadPlugin() {
    for (const char* name : {"plugins", "manifests"}) fs::create_directories(folder_.path() / name);
    describe(manifest_of("bad"));
  }

  void describe(const std::string& manifest, const std::string& id = "bad") const {
    folder_.write("manifests/" + id + ".toml", manifest, 0644);
  }

  fs::path install(const std::string& way, const std::string& id = "bad") const {
    const fs::path to = library(id);
    fs::copy_file(fs::path(BP_TEST_BUILD_DIR) / "tests/bad_plugins" / (way + ".so"), to);
    ScratchFolder::set_mode(to, 0755);
    return to;
  }

  fs::path library(const std::string& id = "bad") const {
    return folder_.path() / "plugins" / ("libbackplane_" + id + ".so");
  }

  /// Overwrites bytes of the header.
  void patch(std::streamoff at, std::string_view bytes) const {
    std::fstream file(library(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at) << bytes;
  }

  /// Why the library is refused; empty: it is taken.
  std::string refusal() const {
    Diagnostics diagnostics;
    const auto manifest = PluginManifestReader().load(folder_.path() / "manifests/bad.toml",
                                                      {folder_.path() / "plugins"}, diagnostics);
    if (!manifest) return test::lines(diagnostics).front();
    std::string problem;
    const auto library = PluginLibrary::load(*manifest, 0, problem);
    EXPECT_EQ(library != nullptr, problem.empty());
    return problem;
  }

  /// For a kernel that knows this plugin alone. As long as this lives.
  bp_kernel_options kernel_options() const {
    bp_kernel_options options{};
    options.struct_size = BP_SIZE_TO(bp_kernel_options, user);
    options.plugin_folders = {plugins_.data(), plugins_.size()};
    options.manifest_folders = {manifests_.data(), manifests_.size()};
    return options;
  }

  Start start(const std::string& system) const {
    Script script;
    Start result;
    script.create = [&](const bp_value&, bp_error*) {
      ++result.created;
      return BP_OK;
    };
    bp_kernel_options options = kernel_options();
    options.user = &result.errors_logged;
    options.log = [](void* user, const bp_log_record* record) {
      if (record->level != BP_LOG_ERROR) return;
      static_cast<std::vector<std::string>*>(user)->emplace_back(record->message.ptr,
                                                                 record->message.len);
    };
    bp_kernel* kernel = nullptr;
    bp_error error{};
    const std::string scripted = Script::manifest();
    result.status = bp_kernel_create(&options, &kernel, &error);
    if (result.status == BP_OK) {
      result.status =
          bp_kernel_add_plugin(kernel, Script::entry, {scripted.data(), scripted.size()}, &error);
    }
    if (result.status == BP_OK) {
      result.status = bp_kernel_load_text(kernel, BP_STR("p.toml"), {system.data(), system.size()},
                                          nullptr, nullptr, &error);
    }
    if (result.status == BP_OK) result.status = bp_kernel_start(kernel, &error);
    result.error.assign(error.message, error.message_len);
    if (kernel == nullptr) return result;
    bp_kernel_visit_instances(
        kernel,
        [](void* user, const bp_instance_info* info) {
          static_cast<Start*>(user)->lives.push_back(info->life);
        },
        &result);
    bp_kernel_destroy(kernel);
    return result;
  }

  const ScratchFolder folder_;
  const std::string plugins_ = folder_.path() / "plugins";
  const std::string manifests_ = folder_.path() / "manifests";
};

constexpr const char* kSystem =
    "[instances.good]\nplugin = 'scripted'\n[instances.it]\nplugin = 'bad'\n";

// ---- refused for what its entry answers ----

struct Way {
  const char* name;
  const char* reason;
};

class BadAnswer : public BadPlugin, public ::testing::WithParamInterface<Way> {};

TEST_P(BadAnswer, IsRefusedByNameWithItsReason) {
  const fs::path file = install(GetParam().name);
  EXPECT_EQ(refusal(),
            std::string("plugin 'bad': ") + GetParam().reason + " (" + file.string() + ")");
}

TEST_P(BadAnswer, StartsNothingAtAll) {
  install(GetParam().name);
  const Start sut = start(kSystem);
  EXPECT_EQ(sut.status, BP_FAILED_PRECONDITION);
  EXPECT_THAT(sut.error, StartsWith(std::string("plugin 'bad': ") + GetParam().reason));
  EXPECT_EQ(sut.created, 0);
  EXPECT_THAT(sut.lives, Each(BP_LIFE_LOADED));
}

INSTANTIATE_TEST_SUITE_P(
    Of, BadAnswer,
    ::testing::Values(
        Way{"refuses", "its entry refuses this kernel: PERMISSION_DENIED: no licence"},
        Way{"refuses_silently", "its entry refuses this kernel: PENDING: without a reason"},
        Way{"no_table", "its entry answers OK, but gives no table"},
        Way{"too_new", "it needs minor 7 of the ABI, and this kernel has 0: update backplane"},
        Way{"too_short", "bp_plugin.struct_size is 96, expected at least 104"},
        Way{"no_create", "bp_plugin.create is NULL, but mandatory"},
        Way{"no_start", "bp_plugin.start is NULL, but mandatory"},
        Way{"no_drain", "bp_plugin.drain is NULL, but mandatory"},
        Way{"no_stop", "bp_plugin.stop is NULL, but mandatory"},
        Way{"no_destroy", "bp_plugin.destroy is NULL, but mandatory"},
        Way{"no_open", "bp_plugin.open is NULL, but mandatory"},
        Way{"other_id",
            "its id is 'worse', but its manifest says 'bad': install the two that belong together"},
        Way{"other_version",
            "its version is '1.0.1', but its manifest says '1.0.0': install the "
            "two that belong together"},
        Way{"other_needs",
            "its list of needed services is bp.endpoint/1, bp.log/1, but its manifest says "
            "bp.endpoint/1: install the two that belong together"},
        Way{"other_flags",
            "its multi_instance is false, but its manifest says true: install the "
            "two that belong together"},
        Way{"own_threads",
            "its own_threads is true, but its manifest says false: install the two "
            "that belong together"}),
    [](const auto& way) { return std::string(way.param.name); });

// ---- refused before its entry is asked ----

TEST_F(BadPlugin, IsTakenWhenItIsGood) {
  install("good");
  EXPECT_EQ(refusal(), "");
}

TEST_F(BadPlugin, IsTakenWithALongerTableThanThisKernelKnows) {
  install("longer");
  const Start sut = start(kSystem);
  EXPECT_EQ(sut.status, BP_OK) << sut.error;
  EXPECT_EQ(sut.created, 1);
}

TEST_F(BadPlugin, IsRefusedWithoutALibrary) {
  EXPECT_EQ(refusal(),
            "plugin 'bad': its library '" + library().string() + "' does not exist: install it");
}

TEST_F(BadPlugin, IsRefusedWhenItIsNoElfFile) {
  folder_.write("plugins/libbackplane_bad.so", "#!/bin/sh\n", 0755);
  EXPECT_EQ(refusal(), "plugin 'bad': its library '" + library().string() +
                           "' is no shared library (no ELF file): install the library that belongs "
                           "to the manifest");
}

TEST_F(BadPlugin, IsRefusedWhenItIsBuiltForAnotherMachine) {
  install("good");
  const std::string other = {static_cast<char>(EM_RISCV & 0xff), static_cast<char>(EM_RISCV >> 8)};
  patch(offsetof(Elf64_Ehdr, e_machine), other);
  EXPECT_THAT(refusal(), StartsWith("plugin 'bad': its library '" + library().string() +
                                    "' is built for 64-bit riscv: build it for this machine, "));
}

TEST_F(BadPlugin, IsRefusedWhenItIsBuiltFor32Bits) {
  install("good");
  patch(EI_CLASS, {"\1", 1});
  EXPECT_THAT(refusal(), HasSubstr("' is built for 32-bit "));
}

TEST_F(BadPlugin, IsRefusedWhenItIsBuiltForTheOtherByteOrder) {
  install("good");
  patch(EI_DATA, {"\2", 1});
  EXPECT_THAT(refusal(), HasSubstr("' is built for the other byte order: "));
}

TEST_F(BadPlugin, IsRefusedWhenItIsCutOff) {
  install("good");
  for (const std::uintmax_t size : {fs::file_size(library()) / 2, std::uintmax_t{100}}) {
    fs::resize_file(library(), size);
    EXPECT_EQ(refusal(), "plugin 'bad': its library '" + library().string() +
                             "' is cut off, its end is missing: install it again");
  }
}

TEST_F(BadPlugin, IsRefusedWithoutTheEntry) {
  install("no_entry");
  EXPECT_EQ(refusal(), "plugin 'bad': its library '" + library().string() +
                           "' does not export bp_plugin_entry_1: it is no plugin, or one for "
                           "another major of the ABI");
}

TEST_F(BadPlugin, IsRefusedWithASymbolThatNobodyHasAlthoughItIsNeverCalled) {
  install("unresolved");
  EXPECT_EQ(refusal(),
            "plugin 'bad': cannot be mapped: undefined symbol: bp_test_symbol_that_nobody_has: "
            "'ldd -r " +
                library().string() + "' shows all that is missing");
}

TEST_F(BadPlugin, IsRefusedWithAnotherDigestThanThePinnedOne) {
  describe(manifest_of("bad", "sha256 = '" + std::string(64, 'a') + "'\n"));
  install("good");
  const std::string problem = refusal();
  EXPECT_THAT(problem, StartsWith("plugin 'bad': its library '" + library().string() +
                                  "' has the SHA-256 "));
  EXPECT_THAT(problem, EndsWith(", but its manifest pins " + std::string(64, 'a') +
                                ": install the two that belong together"));
}

TEST_F(BadPlugin, IsTakenWithThePinnedDigest) {
  Diagnostics diagnostics;
  const auto file = TrustedFile::open(install("good"), diagnostics);
  ASSERT_TRUE(file);
  const auto digest = file->sha256(diagnostics);
  ASSERT_TRUE(digest);
  describe(manifest_of("bad", "sha256 = '" + *digest + "'\n"));
  EXPECT_EQ(refusal(), "");
}

TEST_F(BadPlugin, IsRefusedWhenOthersCanWriteItsLibrary) {
  ScratchFolder::set_mode(install("good"), 0757);
  EXPECT_THAT(refusal(),
              HasSubstr("can be written by everybody: chmod o-w '" + library().string() + "'"));
}

TEST_F(BadPlugin, IsRefusedWhenOthersCanWriteTheFolderOfItsLibrary) {
  install("good");
  ScratchFolder::set_mode(library().parent_path(), 0777);
  EXPECT_THAT(refusal(), HasSubstr("can be written by everybody: chmod o-w '" +
                                   library().parent_path().string() + "'"));
}

TEST_F(BadPlugin, IsRefusedWhenOthersCanWriteItsManifest) {
  install("good");
  const fs::path manifest = folder_.path() / "manifests/bad.toml";
  ScratchFolder::set_mode(manifest, 0666);
  EXPECT_THAT(refusal(),
              HasSubstr("can be written by everybody: chmod o-w '" + manifest.string() + "'"));
  EXPECT_EQ(start(kSystem).status, BP_INVALID_ARGUMENT);
}

TEST_F(BadPlugin, IsRefusedToAUserWhoMayNotReadItsLibrary) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become nobody";
  ScratchFolder::set_mode(install("good"), 0700);
  for (const char* folder : {"", "plugins", "manifests"})
    ScratchFolder::set_mode(folder_.path() / folder, 0755);
  EXPECT_TRUE(test::as_nobody([&] {
    return refusal() == "plugin 'bad': cannot open '" + library().string() + "': Permission denied";
  }));
}

// ---- refused by its manifest, before the library is looked at ----

TEST_F(BadPlugin, IsRefusedByAManifestThatNeedsANewerKernel) {
  describe(manifest_of("bad", "abi_minor = 7\n"));
  EXPECT_EQ(refusal(),
            "plugin 'bad': it needs minor 7 of the ABI, and this kernel has 0: update backplane");
}

TEST_F(BadPlugin, IsRefusedByAManifestThatNeedsAnUnknownService) {
  describe(manifest_of("bad", "", "'bp.oracle/1'"));
  EXPECT_EQ(refusal(),
            "plugin 'bad': it needs the service 'bp.oracle/1', which this kernel does not have: "
            "update backplane, or correct the manifest");
}

TEST_F(BadPlugin, IsAMistakeInTheSystemManifestThatUsesItWhenTheKernelIsTooOld) {
  describe(manifest_of("bad", "abi_minor = 7\n"));
  const Start sut = start(kSystem);
  EXPECT_EQ(sut.status, BP_INVALID_ARGUMENT);
  EXPECT_EQ(sut.error,
            "p.toml:4:10: error: plugin 'bad': it needs minor 7 of the ABI, and this kernel has 0: "
            "update backplane");
  EXPECT_EQ(start("[instances.good]\nplugin = 'scripted'\n").status, BP_OK)
      << "nobody minds what is not used";
}

TEST_F(BadPlugin, IsLoggedWholeBesideEveryOther) {
  install("other_version");
  describe(manifest_of("worse"), "worse");
  const Start sut = start(std::string(kSystem) + "[instances.too]\nplugin = 'worse'\n");
  EXPECT_THAT(sut.error, HasSubstr("plugin 'bad': its version is"));
  EXPECT_THAT(sut.errors_logged,
              ElementsAre(HasSubstr(library().string()), HasSubstr(library("worse").string())));
}

// ---- endpoints, when open shows them ----

class BadEndpoint : public BadPlugin {
 protected:
  BadEndpoint() { install("good"); }

  /// Why an open of the path is refused; empty: it is not.
  std::string open(std::string_view path) const {
    bp_kernel_options options = kernel_options();
    options.log = [](void*, const bp_log_record*) {};
    bp_kernel* kernel = nullptr;
    bp_error error{};
    if (bp_kernel_create(&options, &kernel, &error) != BP_OK ||
        bp_kernel_load_text(kernel, BP_STR("p.toml"), BP_STR("[instances.it]\nplugin = 'bad'\n"),
                            nullptr, nullptr, &error) != BP_OK ||
        bp_kernel_start(kernel, &error) != BP_OK)
      return "no kernel";
    const bp_host* const host = bp_kernel_host(kernel);
    const auto* service =
        static_cast<const bp_endpoint_service*>(host->get_service(host, BP_S_ENDPOINT));
    const std::string address = "it:" + std::string(path);
    bp_op* const op = service->op_new(host);
    op->error = &error;
    const bp_status status = service->open(host, {address.data(), address.size()}, nullptr, op);
    service->op_free(host, op);
    bp_kernel_destroy(kernel);
    return status == BP_OK ? "" : std::string(error.message, error.message_len);
  }
};

TEST_F(BadEndpoint, IsTakenWithALongerTableThanThisKernelKnows) { EXPECT_EQ(open("good"), ""); }

TEST_F(BadEndpoint, IsRefusedWithoutAMandatorySlotWhichIsNamed) {
  for (const std::string slot : {"submit", "cancel", "close"}) {
    EXPECT_EQ(open("no_" + slot), "an endpoint of 'it' is refused: bp_endpoint_ops." + slot +
                                      " is NULL, but mandatory");
  }
}

TEST_F(BadEndpoint, IsRefusedWithATableThatIsTooShort) {
  EXPECT_EQ(open("short"),
            "an endpoint of 'it' is refused: bp_endpoint_ops.struct_size is 48, expected at least "
            "56");
}

TEST_F(BadEndpoint, IsRefusedWithoutATable) {
  EXPECT_EQ(open("no_table"),
            "an endpoint of 'it' is refused: the endpoint has no table of functions "
            "(bp_endpoint.ops is NULL)");
}

}  // namespace
}  // namespace backplane::kernel
