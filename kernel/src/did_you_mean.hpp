// SPDX-License-Identifier: Apache-2.0
// The nearest known word to a misspelt one, and the sentence that offers it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backplane::kernel {

/// The candidate with the fewest edits (insert, delete, replace, swap of neighbours; case costs
/// nothing), if it is near enough to be meant: at most one edit for each three letters, and at
/// least one. Of equals, the first.
std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates);

/// `unknown KIND 'WORD', did you mean 'NEAREST'?`, else `unknown KIND 'WORD', expected one of 'a',
/// 'b'`.
std::string unknown_word(std::string_view kind, std::string_view word,
                         const std::vector<std::string>& candidates);

/// `'a', 'b', 'c'`; long lists end in `and N more`.
std::string quoted_list(const std::vector<std::string>& words);

}  // namespace backplane::kernel
