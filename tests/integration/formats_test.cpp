// SPDX-License-Identifier: Apache-2.0
// The codecs through the kernel, by URL and as a named instance.
#include "backplane/sdk/kernel.hpp"

#include <gmock/gmock.h>

namespace backplane::test {
namespace {

using testing::HasSubstr;

class CodecsOfTheKernel : public testing::Test {
 protected:
  static Kernel make(std::string_view manifest = {}) {
    KernelOptions options;
    options.plugin_folders = BP_TEST_BUILD_DIR "/plugins";
    options.manifest_folders = BP_TEST_BUILD_DIR "/plugin_manifests";
    options.flags = BP_KERNEL_CHECKED;
    options.log = [](const LogRecord&) {};
    Kernel kernel = Kernel::create(options).value();
    if (!manifest.empty()) {
      kernel.load_text("test", manifest).or_throw();
    }
    kernel.start().or_throw();
    return kernel;
  }
};

TEST_F(CodecsOfTheKernel, TurnJsonIntoAValueAndAValueIntoCborAndBack) {
  const Kernel kernel = make();
  const Endpoint from_json = kernel.open("format://json/decode").value();
  const Endpoint to_cbor = kernel.open("format://cbor/encode").value();
  const Endpoint from_cbor = kernel.open("format://cbor/decode").value();
  const Endpoint to_json = kernel.open("format://json/encode").value();

  const std::string text = R"({"line":1,"values":[18446744073709551615,-0.5,null],"ok":true})";
  const OwnedMessage value = from_json.call(text).value();
  EXPECT_EQ(value.body().find("values")->at(0), ValueView(UINT64_MAX));
  const OwnedMessage cbor = to_cbor.call(value.body()).value();
  EXPECT_EQ(cbor.view().header<std::string_view>(BP_H_CONTENT_TYPE), "application/cbor");
  const OwnedMessage again = from_cbor.call(cbor.body()).value();
  EXPECT_EQ(again.body(), value.body());
  const OwnedMessage json = to_json.call(again.body()).value();
  EXPECT_EQ(json.body(), ValueView::encoded(std::as_bytes(std::span(text)), BP_FORMAT_JSON));
}

TEST_F(CodecsOfTheKernel, TellWhereAPayloadIsWrong) {
  const Kernel kernel = make();
  const auto answer = kernel.open("format://json/decode").value().call(R"({"a": nope})").get();
  EXPECT_EQ(answer.status().code(), BP_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("JSON, offset 7"));
}

TEST_F(CodecsOfTheKernel, HoldTheLimitsOfTheirInstance) {
  const Kernel kernel = make("[instances.small]\nplugin = \"formats\"\nmax_bytes = 8\n");
  const Endpoint decode = kernel.open("small:json/decode").value();
  EXPECT_EQ(decode.call("[1,2,3]").get()->body().size(), 3U);
  EXPECT_EQ(decode.call("[1,2,3,4]").get().status().code(), BP_RESOURCE_EXHAUSTED);
}

TEST_F(CodecsOfTheKernel, NameWhatThereIsWhenAFormatOrDirectionIsUnknown) {
  const Kernel kernel = make("[instances.f]\nplugin = \"formats\"\n");
  EXPECT_THAT(kernel.open("f:xml/decode").get().status().to_string(), HasSubstr("json, cbor"));
  EXPECT_THAT(kernel.open("f:json/print").get().status().to_string(), HasSubstr("json/encode"));
  EXPECT_EQ(kernel.open("f:json").get().status().code(), BP_NOT_FOUND);
  EXPECT_TRUE(kernel.open("format://xml/decode").get().status().is_error());
}

}  // namespace
}  // namespace backplane::test
