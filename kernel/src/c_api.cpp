// SPDX-License-Identifier: Apache-2.0
// The exported functions: from C to the kernel object, with the exception barrier.
#include "backplane/kernel.h"
#include "backplane/version.h"
#include "error.hpp"
#include "kernel.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <string>

using backplane::kernel::Diagnostic;
using backplane::kernel::guarded;
using backplane::kernel::Kernel;
using backplane::kernel::set_error;
using backplane::kernel::Severity;
using backplane::kernel::str;
using backplane::kernel::view;

namespace {

Kernel& of(bp_kernel* kernel) { return *reinterpret_cast<Kernel*>(kernel); }

template <typename Function>
void boundary(Function function) noexcept {
  guarded(nullptr, [&] {
    function();
    return BP_OK;
  });
}

Kernel::Report reporter(void (*report)(void*, const bp_diagnostic*), void* user) {
  return [report, user](const Diagnostic& diagnostic) {
    if (report == nullptr) return;
    bp_diagnostic out{};
    out.file = str(diagnostic.file);
    out.line = static_cast<std::uint32_t>(diagnostic.line);
    out.column = static_cast<std::uint32_t>(diagnostic.column);
    out.severity =
        diagnostic.severity == Severity::kError ? BP_DIAGNOSTIC_ERROR : BP_DIAGNOSTIC_WARNING;
    out.message = str(diagnostic.message);
    report(user, &out);
  };
}

// The options as this version knows them. Fills error.
bp_status read_options(const bp_kernel_options* given, bp_kernel_options& options,
                       bp_error* error) {
  options = bp_kernel_options{};
  if (given == nullptr) return BP_OK;
  const std::size_t known = BP_SIZE_TO(bp_kernel_options, user);
  if (given->struct_size < known) {
    return set_error(error, BP_INVALID_ARGUMENT,
                     "bp_kernel_options.struct_size is " + std::to_string(given->struct_size) +
                         ", expected at least " + std::to_string(known));
  }
  std::memcpy(&options, given, known);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  bool is_known = (options.flags & ~BP_KERNEL_CHECKED) == 0 && options.reserved == 0;
  for (std::size_t i = known; i < given->struct_size; ++i) is_known = is_known && bytes[i] == 0;
  return is_known ? BP_OK
                  : set_error(error, BP_UNIMPLEMENTED,
                              "bp_kernel_options: a flag or a member of a newer version is set");
}

}  // namespace

bp_str bp_kernel_version(void) { return BP_STR(BP_VERSION_STRING); }

bp_status bp_kernel_create(const bp_kernel_options* options, bp_kernel** out, bp_error* error) {
  return guarded(error, [&]() -> bp_status {
    bp_kernel_options known{};
    if (const bp_status refused = read_options(options, known, error); refused < 0) return refused;
    auto kernel = std::make_unique<Kernel>(known);
    const bp_status status =
        kernel->discover(view(known.plugin_folders), view(known.manifest_folders), error);
    if (status == BP_OK) *out = reinterpret_cast<bp_kernel*>(kernel.release());
    return status;
  });
}

bp_status bp_kernel_add_plugin(bp_kernel* kernel, bp_plugin_entry entry, bp_str manifest,
                               bp_error* error) {
  return guarded(error, [&] { return of(kernel).add_plugin(entry, view(manifest), error); });
}

bp_status bp_kernel_load(bp_kernel* kernel, bp_str path,
                         void (*report)(void*, const bp_diagnostic*), void* user, bp_error* error) {
  return guarded(error, [&] {
    return of(kernel).load(std::string(view(path)), reporter(report, user), error);
  });
}

bp_status bp_kernel_load_text(bp_kernel* kernel, bp_str name, bp_str text,
                              void (*report)(void*, const bp_diagnostic*), void* user,
                              bp_error* error) {
  return guarded(error, [&] {
    return of(kernel).load_text(std::string(view(name)), view(text), reporter(report, user), error);
  });
}

bp_status bp_kernel_start(bp_kernel* kernel, bp_error* error) {
  return guarded(error, [&] { return of(kernel).start(error); });
}

bp_status bp_kernel_drain(bp_kernel* kernel, bp_error* error) {
  return guarded(error, [&] { return of(kernel).drain(error); });
}

bp_status bp_kernel_stop(bp_kernel* kernel, bp_error* error) {
  return guarded(error, [&] { return of(kernel).stop(error); });
}

void bp_kernel_destroy(bp_kernel* kernel) {
  if (kernel == nullptr) return;
  boundary([&] {
    if (of(kernel).shut_down()) {
      delete &of(kernel);
    } else {
      static std::atomic<Kernel*> last;  // reachable, for those who look for leaks
      of(kernel).kept_before = last.exchange(&of(kernel));
    }
  });
}

const bp_host* bp_kernel_host(bp_kernel* kernel) { return of(kernel).application(); }

void bp_kernel_visit_instances(bp_kernel* kernel, void (*visit)(void*, const bp_instance_info*),
                               void* user) {
  boundary([&] {
    of(kernel).visit_instances([&](const bp_instance_info& info) { visit(user, &info); });
  });
}

void bp_kernel_visit_metrics(bp_kernel* kernel, void (*visit)(void*, const bp_metric_info*),
                             void* user) {
  boundary(
      [&] { of(kernel).metrics().visit([&](const bp_metric_info& info) { visit(user, &info); }); });
}

void bp_kernel_visit_plugins(bp_kernel* kernel, void (*visit)(void*, const bp_plugin_info*),
                             void* user) {
  boundary(
      [&] { of(kernel).visit_plugins([&](const bp_plugin_info& info) { visit(user, &info); }); });
}
