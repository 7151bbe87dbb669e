// SPDX-License-Identifier: Apache-2.0
#include "plugins/isolation/relay.hpp"

#include <algorithm>

namespace backplane::isolation {
namespace {

constexpr size_t kMostMetrics = 4096;
constexpr size_t kMostMetricBytes = 4096;  // of a name and its labels
constexpr size_t kMostText = size_t{64} * 1024;

/// Pairs of a frame, for the time of a call. References and descriptors have no business there.
class BorrowedPairs {
 public:
  explicit BorrowedPairs(capnp::List<wire::Pair>::Reader in) : with_(none_, {}) {
    detail::TreeSize size{in.size() * sizeof(bp_pair)};
    for (const auto pair : in) {
      size += measure(pair.getKey());
      size += measure(pair.getValue());
    }
    if (size.descriptors != 0) {
      throw Error(BP_DATA_LOSS, "a descriptor where text is expected");
    }
    memory_ = Buffer::make(size.bytes);
    pairs_ = TreeReader(memory_.data(), {}, with_).pairs(in);
  }
  const bp_pair* data() const noexcept { return pairs_.data(); }
  size_t bytes() const noexcept { return memory_.size(); }
  uint32_t size() const noexcept { return static_cast<uint32_t>(pairs_.size()); }

 private:
  struct NoReferences final : References {
    Shown show(bp_ref) override { return {}; }
    void unshow(uint64_t) noexcept override {}
    bp_ref take(Shown) override { return 0; }
    void close(bp_ref) noexcept override {}
  };
  NoReferences none_;
  Incoming with_;
  Buffer memory_;
  std::span<const bp_pair> pairs_;
};

constexpr double kMiB = 1 << 20;

/// Of a new one, as channel.h says.
double bytes_of(wire::Shared::Reader in) {
  const auto size = static_cast<double>(in.getSize());
  if (!in.getChannel()) {
    return size;
  }
  const auto of = [](uint32_t value, uint32_t by_default) {
    return static_cast<double>(value == 0 ? by_default : value);
  };
  return size * (of(in.getCapacity(), 16) + 3 * of(in.getPublishers(), 4) +
                 of(in.getHeld(), 2) * of(in.getSubscribers(), 8));
}

std::string_view cut(capnp::Data::Reader text) { return to_view(text).substr(0, kMostText); }

}  // namespace

void Relay::forget_run() {
  told_state_ = false;
  metrics_.clear();
}

void Relay::require(std::string_view service) const {
  if (std::ranges::find(services_, service) == services_.end()) {
    throw Error(BP_PERMISSION_DENIED, "it uses ", service, ", which it was not given");
  }
}

void Relay::received(Peer& peer, wire::Frame::Reader frame) {
  switch (frame.which()) {
    case wire::Frame::LOG:
      return log(frame.getLog());
    case wire::Frame::STATE:
      require(BP_S_STATE);
      return state(frame.getState());
    case wire::Frame::METRIC:
      require(BP_S_METRICS);
      return metric(frame.getMetric());
    case wire::Frame::METRIC_VALUES:
      require(BP_S_METRICS);
      return values(frame.getMetricValues());
    case wire::Frame::CREDENTIAL:
      require(BP_S_CREDENTIALS);
      return credential(peer, frame.getCredential());
    case wire::Frame::SHARED:
      require(BP_S_SHARED_MEMORY);
      return shared(peer, frame.getShared());
    default:
      throw Error(BP_DATA_LOSS, "a frame of an unknown kind");
  }
}

// The host itself logs too, so that the service is not asked for.
void Relay::log(wire::Log::Reader in) {
  const BorrowedPairs fields(in.getFields());
  host_.services().log.write(host_.raw(), std::clamp(in.getLevel(), BP_LOG_ERROR, BP_LOG_TRACE),
                             to_str(cut(in.getMessage())), fields.data(), fields.size());
}

void Relay::state(wire::State::Reader in) {
  if (in.getState() > BP_STATE_DOWN) {
    throw Error(BP_DATA_LOSS, "state ", in.getState(), ", which there is not");
  }
  told_state_ = true;
  host_.report(in.getState(), cut(in.getDetail()));
}

void Relay::metric(wire::Metric::Reader in) {
  if (metrics_.size() >= kMostMetrics) {
    throw Error(BP_RESOURCE_EXHAUSTED, "more than ", kMostMetrics, " metrics");
  }
  const BorrowedPairs labels(in.getLabels());
  if (in.getName().size() + labels.bytes() > kMostMetricBytes) {
    throw Error(BP_RESOURCE_EXHAUSTED, "a metric whose name and labels have more than ",
                kMostMetricBytes, " bytes");
  }
  Metric metric;
  metric.counter = in.getKind() == BP_METRIC_COUNTER;
  const bp_status status =
      host_.services().metrics.define(host_.raw(), to_str(cut(in.getName())), in.getKind(),
                                      labels.data(), labels.size(), &metric.id);
  if (status != BP_OK) {
    return;
  }
  if (defined_.insert(metric.id).second && defined_.size() > kMostMetrics) {
    throw Error(BP_RESOURCE_EXHAUSTED, "more than ", kMostMetrics, " metrics");
  }
  metrics_[in.getId()] = metric;
}

void Relay::values(capnp::List<wire::MetricValue>::Reader in) {
  for (const auto value : in) {
    const auto found = metrics_.find(value.getId());
    if (found == metrics_.end()) {
      continue;
    }
    Metric& metric = found->second;
    if (!metric.counter) {
      host_.services().metrics.set(host_.raw(), metric.id, value.getValue());
    } else if (value.getValue() > metric.value) {
      const auto grown =
          static_cast<uint64_t>(value.getValue()) - static_cast<uint64_t>(metric.value);
      host_.services().metrics.add(host_.raw(), metric.id,
                                   static_cast<int64_t>(std::min<uint64_t>(grown, INT64_MAX)));
      metric.value = value.getValue();
    }
  }
}

// The kernel gives those that the instance's configuration names, and no others.
void Relay::credential(Peer& peer, wire::Credential::Reader in) {
  bp_buffer* content = nullptr;
  bp_error error{};
  const bp_status status =
      host_.services().credentials.get(host_.raw(), to_str(to_view(in.getName())),
                                       to_str(to_view(in.getField())), 0, &content, &error);
  const Buffer owner = Buffer::adopt(content);
  if (status < 0) {
    return peer.answer(in.getOp(), Status::from(status, error));
  }
  peer.answer(in.getOp(), Status(), ValueView::bytes(owner.data(), owner.size()));
}

void Relay::shared(Peer& peer, wire::Shared::Reader in) {
  bp_error error{};
  int32_t descriptor = -1;
  const bp_status status = share(in, descriptor, error);
  const UniqueFd owner(descriptor);
  if (status < 0) {
    return peer.answer(in.getOp(), Status::from(status, error));
  }
  peer.answer(in.getOp(), Status(), ValueView::descriptor(descriptor));
}

// The kernel shares those whose keys the instance's configuration has, and no others.
bp_status Relay::share(wire::Shared::Reader in, int32_t& out, bp_error& error) {
  const bp_shared_memory_service& service = host_.services().shared_memory;
  const bp_str key = to_str(to_view(in.getKey()));
  if (const double bytes = bytes_of(in); bytes > most_shared_) {
    return Status(BP_RESOURCE_EXHAUSTED, "'", cut(in.getKey()), "' would take ",
                  static_cast<uint64_t>(bytes / kMiB) + 1, " MiB, more than its memory_mib")
        .to(&error);
  }
  if (in.getChannel()) {
    const bp_channel_options options{sizeof options,      in.getWhich(),       in.getSize(),
                                     in.getCapacity(),    in.getHeld(),        in.getPublishers(),
                                     in.getSubscribers(), in.getPermissions(), in.getFlags()};
    return service.share_channel(host_.raw(), key, &options, &out, &error);
  }
  const bp_memory_options options{sizeof options, in.getWhich(), in.getSize(), in.getPermissions(),
                                  in.getFlags()};
  return service.share_memory(host_.raw(), key, &options, &out, &error);
}

}  // namespace backplane::isolation
