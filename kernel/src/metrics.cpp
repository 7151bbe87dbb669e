// SPDX-License-Identifier: Apache-2.0
#include "metrics.hpp"

#include "error.hpp"
#include "host.hpp"

#include <algorithm>
#include <string_view>

namespace backplane::kernel {
namespace {

bool is_metric_name(std::string_view name) {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') &&
         std::all_of(name.begin(), name.end(), is_word);
}

bp_value string_value(const std::string& text) {
  bp_value value{};
  value.tag = BP_T_STRING;
  value.len = static_cast<std::uint32_t>(text.size());
  value.as.s = text.data();
  return value;
}

}  // namespace

bp_status Metrics::define(const Host& host, bp_str name, std::uint32_t kind, const bp_pair* labels,
                          std::uint32_t n_labels, std::uint64_t& id) {
  if (!is_metric_name(view(name)) || (kind != BP_METRIC_COUNTER && kind != BP_METRIC_GAUGE))
    return BP_INVALID_ARGUMENT;
  std::vector<std::pair<std::string, std::string>> copied;
  for (std::uint32_t i = 0; i < n_labels; ++i) {
    const bp_pair& label = labels[i];
    if (label.key.tag != BP_T_STRING || label.val.tag != BP_T_STRING) return BP_INVALID_ARGUMENT;
    copied.emplace_back(std::string(label.key.as.s, label.key.len),
                        std::string(label.val.as.s, label.val.len));
  }
  const std::lock_guard lock(mutex_);
  Key key(host.name, std::string(view(name)), copied);
  if (const auto found = ids_.find(key); found != ids_.end()) {
    if (find(found->second)->kind != kind) return BP_INVALID_ARGUMENT;
    id = found->second;
    return BP_OK;
  }
  if (count_ == kBlock * kBlocks) return BP_RESOURCE_EXHAUSTED;
  if (count_ % kBlock == 0) {
    owned_.push_back(std::make_unique<Metric[]>(kBlock));
    blocks_[count_ / kBlock].store(owned_.back().get(), std::memory_order_release);
  }
  id = ++count_;
  Metric& metric = *find(id);
  metric.instance = host.name;
  metric.name = view(name);
  metric.kind = kind;
  metric.labels = std::move(copied);
  ids_.emplace(std::move(key), id);
  return BP_OK;
}

Metrics::Metric* Metrics::find(std::uint64_t id) noexcept {
  if (id == 0 || id > kBlock * kBlocks) return nullptr;
  Metric* const block = blocks_[(id - 1) / kBlock].load(std::memory_order_acquire);
  return block == nullptr ? nullptr : &block[(id - 1) % kBlock];
}

void Metrics::add(std::uint64_t id, std::int64_t delta) noexcept {
  if (Metric* const metric = find(id); metric != nullptr)
    metric->value.fetch_add(delta, std::memory_order_relaxed);
}

void Metrics::set(std::uint64_t id, std::int64_t value) noexcept {
  if (Metric* const metric = find(id); metric != nullptr)
    metric->value.store(value, std::memory_order_relaxed);
}

void Metrics::visit(const std::function<void(const bp_metric_info&)>& visit) {
  const std::lock_guard lock(mutex_);
  for (std::uint64_t id = 1; id <= count_; ++id) {
    const Metric& metric = *find(id);
    std::vector<bp_pair> labels;
    for (const auto& [name, value] : metric.labels)
      labels.push_back({string_value(name), string_value(value)});
    bp_metric_info info{};
    info.struct_size = BP_SIZE_TO(bp_metric_info, value);
    info.kind = metric.kind;
    info.instance = str(metric.instance);
    info.name = str(metric.name);
    info.labels = labels.data();
    info.n_labels = labels.size();
    info.value = metric.value.load(std::memory_order_relaxed);
    visit(info);
  }
}

}  // namespace backplane::kernel
