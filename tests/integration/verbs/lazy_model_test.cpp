// SPDX-License-Identifier: Apache-2.0
// A remote model: rows are fetched when they are looked at, while the model changes. The version
// (seq) of a row and of a change say which changes a row already contains.
#include "integration/verbs/client.hpp"

#include <array>
#include <map>
#include <memory>

namespace backplane::test {
namespace {

struct Row {
  std::string name;
  std::int64_t value = 0;

  friend bool operator==(const Row&, const Row&) = default;
};

// A replica that knows only some rows, each as of a version.
class Replica {
 public:
  // Rows that were fetched: they contain all changes up to `version`, but not the later ones that
  // are known already.
  void fetched(std::uint64_t first, const std::vector<Row>& rows, std::uint64_t version) {
    Rows part;
    for (std::size_t i = 0; i < rows.size(); ++i) part[first + i] = {rows[i], version};
    for (const Change& change : changes_) apply(change, part);
    for (auto& [index, known] : part) rows_[index] = std::move(known);
  }

  void changed(const bp_message& message) {
    const bp_pair* body = message.body.as.map;
    changes_.push_back({message.seq, text_of(body[0].val), body[1].val.as.u});
    apply(changes_.back(), rows_);
  }

  [[nodiscard]] bool knows(std::uint64_t index) const { return rows_.count(index) != 0; }
  [[nodiscard]] std::size_t size() const { return rows_.size(); }

  void expect_equal_to(const std::vector<Row>& truth) const {
    for (const auto& [index, known] : rows_) EXPECT_EQ(known.row, truth.at(index)) << index;
  }

 private:
  struct Change {
    std::uint64_t version = 0;
    std::string kind;
    std::uint64_t index = 0;
  };
  struct Known {
    Row row;
    std::uint64_t version = 0;
  };
  using Rows = std::map<std::uint64_t, Known>;

  // A row that already contains the change stays where it is.
  static void apply(const Change& change, Rows& rows) {
    Rows moved;
    for (auto& [index, known] : rows) {
      std::uint64_t to = index;
      if (known.version < change.version) {
        const bool hit = index == change.index;
        if (hit && change.kind != "insert") continue;  // removed, or stale until fetched again
        if (change.kind == "insert" && index >= change.index) ++to;
        if (change.kind == "remove" && index > change.index) --to;
        known.version = change.version;
      }
      moved[to] = std::move(known);
    }
    rows = std::move(moved);
  }

  Rows rows_;
  std::vector<Change> changes_;
};

class LazyModel : public Fixture {
 protected:
  void SetUp() override {
    Fixture::SetUp();
    if (HasFatalFailure()) return;
    model_ = open("model");
    edit_ = open("model/edit");
  }

  void edit(const char* kind, std::uint64_t index, const char* name = "", std::int64_t value = 0) {
    const std::array<bp_value, 4> arguments{value_text(kind), value_uint(index, 32),
                                            value_text(name), value_int(value, 64)};
    Operation operation(*this, BP_V_WRITE, edit_);
    EXPECT_EQ(operation.body(value_list(arguments.data(), 4, BP_LIST_ARGUMENTS)).run(), BP_OK)
        << operation.error_text();
  }

  std::vector<Row> rows_of(const bp_message& message) {
    std::vector<Row> rows;
    EXPECT_EQ(message.body.aux, BP_TYPE(BP_T_LIST, BP_LIST_STRUCT));
    for (std::uint32_t i = 0; i < message.body.len; ++i) {
      const bp_value* fields = message.body.as.list[i].as.list;
      rows.push_back({text_of(fields[0]), fields[1].as.i});
    }
    return rows;
  }

  std::vector<Row> fetch(const std::string& range, std::uint64_t* version = nullptr) {
    Operation read(*this, BP_V_READ, model_);
    EXPECT_EQ(read.header(BP_H_INDEX_RANGE, value_text(range.c_str())).run(), BP_OK)
        << read.error_text();
    if (version != nullptr) *version = read.out().seq;
    return rows_of(read.out());
  }

  std::uint64_t size() {
    Operation read(*this, BP_V_READ, model_);
    EXPECT_EQ(read.run(), BP_OK);
    return read.out().body.as.u;
  }

  bp_ref model_ = 0;
  bp_ref edit_ = 0;
};

TEST_P(LazyModel, OnlyTheRowsThatAreLookedAtTravel) {
  EXPECT_EQ(size(), 100u);
  const std::vector<Row> rows = fetch("40:49");
  ASSERT_EQ(rows.size(), 10u);
  EXPECT_EQ(rows[0], (Row{"row 40", 40}));
  EXPECT_EQ(rows[9], (Row{"row 49", 49}));
}

TEST_P(LazyModel, RowsBehindTheEndAreOutOfRange) {
  Operation read(*this, BP_V_READ, model_);
  EXPECT_EQ(read.header(BP_H_INDEX_RANGE, value_text("95:100")).run(), BP_OUT_OF_RANGE);
}

TEST_P(LazyModel, AChangeSaysWhereAndNotWhat) {
  Watch watch(*this, model_);
  EXPECT_EQ(watch.credit(8).submit(), BP_PENDING);
  edit("insert", 3, "new", 7);
  watch.await(1);
  ASSERT_EQ(watch.at(0).body.tag, BP_T_MAP);
  EXPECT_EQ(text_of(watch.at(0).body.as.map[0].val), "insert");
  EXPECT_EQ(watch.at(0).body.as.map[1].val.as.u, 3u);
  EXPECT_EQ(watch.at(0).seq, 1u);
}

// Rows are asked for before, between and after changes, and answers and changes are taken in the
// least convenient order.
TEST_P(LazyModel, RowsAndChangesJoinByVersionWhateverTheirOrderOfArrival) {
  Watch watch(*this, model_);
  EXPECT_EQ(watch.credit(UINT32_MAX).submit(), BP_PENDING);
  std::uint64_t early_version = 0;
  const std::vector<Row> early = fetch("0:9", &early_version);
  EXPECT_EQ(early_version, 0u);
  edit("insert", 5, "inserted", 1000);
  edit("remove", 0);
  edit("set", 2, "renamed", 2000);
  std::uint64_t late_version = 0;
  const std::vector<Row> late = fetch("10:19", &late_version);
  EXPECT_EQ(late_version, 3u);
  watch.await(3);

  // The late rows come first, before the changes that they contain; the early rows come last.
  Replica replica;
  replica.changed(watch.at(0));
  replica.changed(watch.at(1));
  replica.changed(watch.at(2));
  replica.fetched(10, late, late_version);
  replica.fetched(0, early, early_version);

  const std::vector<Row> truth = fetch("0:99");
  ASSERT_EQ(truth.size(), 100u);
  replica.expect_equal_to(truth);
  // All rows that were fetched are there, but the removed and the set one.
  EXPECT_EQ(replica.size(), early.size() - 2 + late.size());
  EXPECT_FALSE(replica.knows(2)) << "a row that was set is stale until it is fetched again";
}

TEST_P(LazyModel, AFetchUnderWayIsAnsweredWithTheRowsOfItsVersion) {
  Watch watch(*this, model_);
  EXPECT_EQ(watch.credit(UINT32_MAX).submit(), BP_PENDING);
  Replica replica;
  for (std::uint64_t round = 0; round < 20; ++round) {
    Operation read(*this, BP_V_READ, model_);
    const std::string range = std::to_string(round * 4) + ":" + std::to_string(round * 4 + 3);
    EXPECT_EQ(read.header(BP_H_INDEX_RANGE, value_text(range.c_str())).submit(), BP_PENDING);
    if (round % 2 == 0) {
      edit("insert", round * 3, "new", static_cast<std::int64_t>(round));
    } else {
      edit("remove", round);
    }
    EXPECT_EQ(read.wait(), BP_OK);
    watch.await(round + 1);
    replica.fetched(round * 4, rows_of(read.out()), read.out().seq);
    replica.changed(watch.at(round));
    replica.expect_equal_to(fetch("0:" + std::to_string(size() - 1)));
  }
  EXPECT_GE(replica.size(), 60u) << "rows stay known through changes";
}

INSTANTIATE_TEST_SUITE_P(, LazyModel,
                         testing::Values(Form::kLinked, Form::kLoaded, Form::kIsolated), form_name);

}  // namespace
}  // namespace backplane::test
