/* SPDX-License-Identifier: Apache-2.0 */
/* Every stable header of the ABI, and nothing else. */
#pragma once

#include "base.h"
#include "endpoint.h"
#include "headers.h"
#include "host.h"
#include "kernel.h"
#include "layout.h"
#include "message.h"
#include "native_key.h"
#include "operation.h"
#include "plugin.h"
#include "service/buffers.h"
#include "service/credentials.h"
#include "service/endpoint.h"
#include "service/executor.h"
#include "service/log.h"
#include "service/metrics.h"
#include "service/queue.h"
#include "service/state.h"
#include "value.h"
#include "version.h"
