// SPDX-License-Identifier: Apache-2.0
// The conformance suite finds what is broken, in the test that says so.
#include "conformance/validation.hpp"
#include "support/scratch_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace backplane::test {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

// --- the broken one ------------------------------------------------------------------------------

class TheSuite : public testing::Test {
 protected:
  /// The tests that match, on the plugin that is broken in this way.
  Validation validate_broken(const std::string& way, const std::string& filter) const {
    scratch_.write("system.toml",
                   "[system]\nstart_timeout_s = 1\nstop_timeout_s = 1\n[instances.it]\nplugin = "
                   "\"broken\"\nway = \"" +
                       way + "\"\n");
    const std::string traits =
        scratch_.write("traits.toml", "system = \"system.toml\"\ntwin = { way = \"" + way +
                                          R"(" }
[[endpoints]]
path = "value"
read = true
write = [20.5, 21.5, 22.5]
refuses = ["warm"]
watch = "write"
)");
    return validate({"--traits", traits, "--filter", filter, "--timeout",
                     filter.find("does_not_grow") == filter.npos ? "6" : "40",
                     kBuild + "/tests/broken_plugin/libbackplane_broken.so"});
  }
  ScratchFolder scratch_;
};

TEST_F(TheSuite, PassesTheSamePluginUnbroken) {
  const Validation result =
      validate_broken("good", "^(static|load|verbs|completion|streams|memory|threads|hosts.[^o])");
  EXPECT_EQ(result.code, 0) << result.errors;
  for (const auto& [name, verdict] : result.verdicts) {
    EXPECT_THAT(verdict.word, AnyOf("pass", "skip")) << name << ": " << verdict.text;
  }
}

struct Break {
  const char* way;
  const char* found_by;
  const char* word;
  const char* text;
};

class TheSuiteFinds : public TheSuite, public testing::WithParamInterface<Break> {
 protected:
  static void expect_found(const Validation& result) {
    EXPECT_EQ(result.code, 1) << result.errors;
    ASSERT_EQ(result.verdicts.count(GetParam().found_by), 1u);
    const Verdict& verdict = result.verdicts.at(GetParam().found_by);
    EXPECT_EQ(verdict.word, GetParam().word) << verdict.text;
    EXPECT_THAT(verdict.text, HasSubstr(GetParam().text));
  }
};

TEST_P(TheSuiteFinds, WhatIsBroken) {
  expect_found(validate_broken(GetParam().way, std::string("^") + GetParam().found_by + "$"));
}

constexpr Break kBreaks[] = {
    {"crashes_in_create", "load.is_loaded_by_the_kernel", "CRASH", "Aborted"},
    {"crashes_in_start", "lifecycle.starts_and_stops", "CRASH", "Aborted"},
    {"crashes_in_drain", "lifecycle.starts_and_stops", "CRASH", "Aborted"},
    {"crashes_in_stop", "lifecycle.starts_and_stops", "CRASH", "Aborted"},
    {"crashes_in_destroy", "lifecycle.starts_and_stops", "CRASH", "Aborted"},
    {"crashes_in_open", "verbs.what_is_promised_answers", "CRASH", "Aborted"},
    {"crashes_in_submit", "verbs.what_is_promised_answers", "CRASH", "Aborted"},
    {"crashes_in_cancel", "completion.a_watch_ends_when_cancelled", "CRASH", "Aborted"},
    {"crashes_in_close", "verbs.what_is_promised_answers", "CRASH", "Aborted"},
    {"never_starts", "load.is_loaded_by_the_kernel", "FAIL", "does not start"},
    {"never_stops", "lifecycle.starts_and_stops", "FAIL", "stop"},
    {"shares_its_value", "lifecycle.has_instances_that_differ", "FAIL", "read from the other"},
    {"leaks_memory", "lifecycle.does_not_grow", "FAIL", "bytes of the heap"},
    {"leaks_a_thread", "lifecycle.leaves_nothing_behind", "FAIL", "1 threads"},
    {"leaks_a_descriptor", "lifecycle.leaves_nothing_behind", "FAIL", "1 descriptors"},
    {"takes_anything", "verbs.a_wrong_value_is_refused", "FAIL", "warm"},
    {"blocks", "verbs.what_is_promised_answers", "TIMEOUT", "6"},
    {"never_completes", "completion.a_deadline_in_the_past_is_exceeded", "TIMEOUT", "6"},
    {"completes_twice", "completion.happens_once", "FAIL", "complete() of an operation that had"},
    {"completes_and_returns", "completion.happens_once", "FAIL", "did not return PENDING"},
    {"ignores_cancel", "completion.a_watch_ends_when_cancelled", "FAIL", "within 1 s"},
    {"ignores_cancel", "completion.a_deadline_ends_a_watch", "FAIL", "within 1 s"},
    {"delivers_after_the_end", "completion.a_watch_ends_when_cancelled", "FAIL",
     "deliver() to an operation"},
    {"ends_well_always", "streams.end_with_what_next_says", "FAIL", "ABORTED"},
    {"ignores_the_first_credit", "streams.bring_messages", "FAIL", "come 0"},
    {"ignores_more_credit", "streams.bring_as_many_as_there_is_credit", "FAIL",
     "for 2 messages come 1"},
    {"ignores_more_credit", "streams.take_credit_inside_next", "FAIL", "come 1"},
    {"is_late", "streams.bring_the_newest_last", "FAIL", "not what a read gives"},
    {"counts_backwards", "streams.bring_them_in_order", "FAIL", "comes after"},
    {"has_one_watcher", "streams.serve_each_of_many_watchers", "FAIL", "8 watchers"},
    {"keeps_for_slow_ones", "streams.bound_what_waits_for_a_slow_consumer", "FAIL", "heap"},
    {"writes_before_the_scratch", "memory.keeps_to_the_scratch", "FAIL", "before its scratch"},
    {"writes_behind_the_scratch", "memory.keeps_to_the_scratch", "CRASH", ""},
    {"answers_with_its_own_memory", "memory.results_have_an_owner", "FAIL",
     "neither in the scratch"},
    {"keeps_the_input", "memory.lets_inputs_go", "CRASH", ""},
    {"sleeps_in_submit", "threads.submit_does_not_wait", "FAIL", "a read of 'value' waits"},
    {"sleeps_in_cancel", "threads.watch_and_cancel_do_not_wait", "FAIL", "a cancel of 'value'"},
    {"looks_behind_the_table", "hosts.an_old_one_is_enough", "CRASH", ""},
    {"takes_no_other_size", "hosts.a_new_one_is_no_harm", "FAIL", "UNIMPLEMENTED"},
    {"trusts_in_a_log", "hosts.what_is_optional_may_be_missing", "CRASH", ""},
    {"trusts_in_an_answer_at_once", "hosts.one_that_answers_later_is_waited_for", "FAIL",
     "INTERNAL"},
    {"waits_for_an_answer_at_once", "hosts.one_that_answers_at_once_is_not_waited_for", "FAIL",
     "INTERNAL"},
    {"trusts_in_memory", "hosts.one_that_fails_once_is_survived", "CRASH", ""},
};
INSTANTIATE_TEST_SUITE_P(In, TheSuiteFinds, testing::ValuesIn(kBreaks), [](const auto& of) {
  std::string name = std::string(of.param.way) + "_by_" + of.param.found_by;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

class TheSuiteFindsInTheEntry : public TheSuiteFinds {};

TEST_P(TheSuiteFindsInTheEntry, WhatIsBroken) {
  setenv("BROKEN_ENTRY", GetParam().way, 1);
  expect_found(validate_broken("good", "^load"));
}

constexpr Break kEntryBreaks[] = {
    {"prints", "load.is_quick_and_quiet", "FAIL", "prints"},
    {"is_slow", "load.is_quick_and_quiet", "FAIL", "100 at most"},
    {"starts_a_thread", "load.is_quick_and_quiet", "FAIL", "starts a thread"},
    {"opens_a_file", "load.is_quick_and_quiet", "FAIL", "opens a descriptor"},
    {"gives_another_table", "load.gives_the_same_table_twice", "FAIL", "another table"},
    {"changes_its_table", "load.gives_the_same_table_twice", "FAIL", "changes"},
    {"lies_about_its_id", "load.is_what_its_manifest_says", "FAIL", "'sound'"},
    {"lies_about_its_version", "load.is_what_its_manifest_says", "FAIL", "'1.0.1'"},
    {"lacks_stop", "load.has_what_is_mandatory", "FAIL", "stop is NULL"},
    {"crashes", "load.gives_the_same_table_twice", "CRASH", "Aborted"},
};
INSTANTIATE_TEST_SUITE_P(In, TheSuiteFindsInTheEntry, testing::ValuesIn(kEntryBreaks),
                         [](const auto& of) { return std::string(of.param.way); });

// --- its use -------------------------------------------------------------------------------------

TEST_F(TheSuite, SkipsWhatItsTraitsDoNotTell) {
  const Validation result = validate({"--filter", "is_loaded_by|bring_messages",
                                      kBuild + "/tests/broken_plugin/libbackplane_broken.so"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.verdicts.at("load.is_loaded_by_the_kernel").word, "pass");
  EXPECT_EQ(result.verdicts.at("streams.bring_messages").word, "skip");
  EXPECT_THAT(result.verdicts.at("streams.bring_messages").text, HasSubstr("can be watched"));
}

TEST_F(TheSuite, SkipsWhatNeedsAConfigurationThatNobodyGave) {
  const Validation result = validate(
      {"--filter", "is_what_its|starts_and_stops", kBuild + "/plugins/libbackplane_mqtt.so"});
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(result.verdicts.at("load.is_what_its_manifest_says").word, "pass");
  EXPECT_EQ(result.verdicts.at("lifecycle.starts_and_stops").word, "skip");
  EXPECT_THAT(result.verdicts.at("lifecycle.starts_and_stops").text, HasSubstr("'url'"));
}

TEST_F(TheSuite, NamesThePlaceOfAMistakeInTraits) {
  scratch_.write("system.toml", "[instances.it]\nplugin = \"broken\"\n");
  scratch_.write("wrong.toml", "= 1\n");
  const std::pair<const char*, const char*> rows[] = {
      {"systm = \"system.toml\"\n", "'system' is missing"},
      {"system = \"system.toml\"\ninstnce = \"it\"\n", ":2:"},
      {"system = \"system.toml\"\n[[endpoints]]\nread = true\n", "'path' is missing"},
      {"system = \"system.toml\"\n[[endpoints]]\npath = \"a\"\nwatch = \"often\"\n",
       ":4:9: error: 'watch': expected"},
      {"system = \"system.toml\"\n[[endpoints]]\npath = \"a\"\nwatch = \"write\"\n",
       "needs two values"},
      {"system = \"none.toml\"\n", "cannot be read"},
      {"system = \"system.toml\"\ninstance = \"that\"\n", "neither [instances.that]"},
      {"system = \"wrong.toml\"\n", "wrong.toml:1:"},
      {"system = \n", ":1:"},
  };
  for (const auto& [text, error] : rows) {
    const std::string traits = scratch_.write("traits.toml", text);
    const Validation result =
        validate({"--traits", traits, kBuild + "/tests/broken_plugin/libbackplane_broken.so"});
    EXPECT_EQ(result.code, 1) << text;
    EXPECT_THAT(result.errors, HasSubstr(error)) << text;
    EXPECT_TRUE(result.verdicts.empty());
  }
}

TEST_F(TheSuite, TakesAPluginThatIsInstalledToo) {
  const std::filesystem::path folder = scratch_.path() / "built";
  std::filesystem::create_directory(folder);
  std::filesystem::copy_file(kBuild + "/plugins/libbackplane_sim.so",
                             folder / "libbackplane_sim.so");
  std::filesystem::copy_file(kBuild + "/plugin_manifests/sim.toml", folder / "sim.toml");
  const Validation result = validate({"--traits", kSource + "sim/traits.toml", "--filter",
                                      "^(static|load)", folder / "libbackplane_sim.so"});
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_EQ(result.verdicts.at("load.is_loaded_by_the_kernel").word, "pass")
      << result.verdicts.at("load.is_loaded_by_the_kernel").text;
}

TEST_F(TheSuite, ReadsTheSymbolsOfAStrippedLibrary) {
  const std::filesystem::path folder = scratch_.path() / "stripped";
  std::filesystem::create_directory(folder);
  std::filesystem::copy_file(kBuild + "/tests/broken_plugin/broken.toml", folder / "broken.toml");
  ChildProcess strip({"strip", "-o", folder / "libbackplane_broken.so",
                      kBuild + "/tests/broken_plugin/libbackplane_broken.so"});
  ASSERT_EQ(strip.wait(), 0) << strip.err();
  const Validation result = validate({"--filter", "^static", folder / "libbackplane_broken.so"});
  EXPECT_EQ(result.verdicts.at("static.exports_the_entry_alone").word, "pass")
      << result.verdicts.at("static.exports_the_entry_alone").text;
}

TEST_F(TheSuite, IsAskedForAPluginThatIsThere) {
  EXPECT_EQ(validate({}).code, 2);
  EXPECT_EQ(validate({"/nowhere/libbackplane_x.so"}).code, 2);
  const std::string file = scratch_.write("libbackplane_x.so", "no library");
  const Validation result = validate({file});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.errors, HasSubstr("no manifest of " + file));
}

}  // namespace
}  // namespace backplane::test
