// SPDX-License-Identifier: Apache-2.0
#include "did_you_mean.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <limits>

namespace backplane::kernel {
namespace {

constexpr std::size_t kLongestWord =
    64;  // nobody misspells a longer one; bounds the quadratic cost
constexpr std::size_t kLongestList = 12;

char folded(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Optimal string alignment distance, in three rows.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> two_ago(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = folded(a[i - 1]) == folded(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
          folded(a[i - 2]) == folded(b[j - 1])) {
        row[j] = std::min(row[j], two_ago[j - 2] + 1);
      }
    }
    two_ago.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates) {
  if (word.empty() || word.size() > kLongestWord) return std::nullopt;
  std::optional<std::string> best;
  std::size_t best_edits = std::numeric_limits<std::size_t>::max();
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongestWord) continue;
    const std::size_t allowed =
        std::max<std::size_t>(1, std::max(word.size(), candidate.size()) / 3);
    const std::size_t needed = edits(word, candidate);
    // Of a word of one or two letters nothing is left after as many edits.
    if (needed > allowed || needed >= word.size() || needed >= best_edits) continue;
    best_edits = needed;
    best = candidate;
  }
  return best;
}

std::string quoted_list(const std::vector<std::string>& words) {
  std::string list;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i == kLongestList) {
      return list + " and " + std::to_string(words.size() - i) + " more";
    }
    list += (i == 0 ? "'" : ", '") + words[i] + "'";
  }
  return list;
}

std::string unknown_word(std::string_view kind, std::string_view word,
                         const std::vector<std::string>& candidates) {
  std::string message = "unknown " + std::string(kind) + " '" + std::string(word) + "'";
  if (const auto meant = nearest(word, candidates))
    return message + ", did you mean '" + *meant + "'?";
  if (candidates.empty()) return message + ", there is none to choose from";
  return message + ", expected one of " + quoted_list(candidates);
}

}  // namespace backplane::kernel
