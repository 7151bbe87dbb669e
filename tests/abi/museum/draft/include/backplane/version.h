/* SPDX-License-Identifier: Apache-2.0 */
/* The version of this release. The ABI has its own: BP_ABI_MAJOR and BP_ABI_MINOR in base.h. */
#pragma once

#define BP_VERSION_MAJOR 0
#define BP_VERSION_MINOR 1
#define BP_VERSION_PATCH 0
#define BP_VERSION_STRING "0.1.0"
