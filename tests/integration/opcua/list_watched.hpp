// SPDX-License-Identifier: Apache-2.0
// A watch of a list of nodes, and what it was told.
#pragma once

#include "fixture.hpp"

#include <map>

namespace backplane::test {

constexpr auto kFixed = "ns=1;s=Line1.Fixed";
constexpr auto kProfile = "ns=1;s=Line1.Profile";
constexpr uint32_t kIdUnknown = 0x80340000;
constexpr uint32_t kNoMatch = 0x806F0000;
constexpr uint32_t kNotFound = 0x803E0000;

/// What a watch of a list was told. [any]
class Story {
 public:
  struct Entry {
    std::string node;  // and its range
    std::string text;  // of the body
    uint32_t status;
    bool is_initial;
    uint64_t seq;
    bool operator==(const Entry& other) const { return node == other.node; }
  };
  void operator()(MessageView message) const {
    const auto range = message.header<std::string>(BP_H_INDEX_RANGE);
    seen_->lock()->push_back(
        {message.header<std::string>(BP_H_PATH).value() + (range ? concat("[", *range, "]") : ""),
         message.body().to_text(), message.header<uint32_t>(BP_H_STATUS).value_or(0),
         message.is_initial(), message.raw().seq});
  }
  std::vector<Entry> all() const { return seen_->copy(); }
  std::vector<std::string> of(const std::string& node) const {
    std::vector<std::string> out;
    for (const Entry& each : all()) {
      if (each.node == node) {
        out.push_back(each.text);
      }
    }
    return out;
  }
  std::map<std::string, uint32_t> statuses() const {
    std::map<std::string, uint32_t> out;
    for (const Entry& each : all()) {
      out[each.node] = each.status;
    }
    return out;
  }
  size_t initial() const {
    const auto seen = all();
    return static_cast<size_t>(
        std::count_if(seen.begin(), seen.end(), [](const Entry& each) { return each.is_initial; }));
  }
  bool reaches(size_t n) const {
    return eventually([&] { return seen_->lock()->size() >= n; }, kPatience);
  }
  bool has(const std::string& node, const std::string& text) const {
    return eventually(
        [&] {
          const auto texts = of(node);
          return std::find(texts.begin(), texts.end(), text) != texts.end();
        },
        kPatience);
  }

 private:
  std::shared_ptr<Guarded<std::vector<Entry>>> seen_ =
      std::make_shared<Guarded<std::vector<Entry>>>();
};

/// A node that stands so many times in a list.
inline ValueView many_times(Arena& arena, size_t n, std::string_view node) {
  ListBuilder nodes(arena);
  for (size_t i = 0; i < n; ++i) {
    nodes.add(node);
  }
  return nodes.view();
}

/// The options of a watch of `nodes`, and `more` that hold for all of them.
inline ValueView options_of(Arena& arena, ValueView nodes, Pairs more) {
  MapBuilder options(arena);
  options.add("nodes", nodes);
  for (const bp_pair& each : to_span(more)) {
    options.add(each.key, each.val);
  }
  return options.view();
}

/// At the folder Objects.
class ListWatched : public WatchedBy<Story> {
 public:
  ListWatched(OpcuaSystem& system, ValueView nodes, Pairs more = {}, WatchOptions watching = {})
      : ListWatched(StackArena<>(), system, nodes, more, std::move(watching)) {}

 private:
  ListWatched(StackArena<>&& arena, OpcuaSystem& system, ValueView nodes, Pairs more,
              WatchOptions watching)
      : WatchedBy(system.open("/"), options_of(arena, nodes, more), std::move(watching)) {}
};

}  // namespace backplane::test
