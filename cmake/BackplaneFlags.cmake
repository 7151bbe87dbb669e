# SPDX-License-Identifier: Apache-2.0
# Compiler flags: warnings (target bp_warnings), sanitizers, hardening, ccache.

# Warnings of this project's own code. Link it PRIVATE; errors only where a preset sets
# CMAKE_COMPILE_WARNING_AS_ERROR, so that a newer compiler never breaks somebody else's build.
add_library(bp_warnings INTERFACE)
target_compile_options(
  bp_warnings
  INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-align -Wformat=2 -Wundef -Wvla
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi>
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(BP_CCACHE ccache)
  if(BP_CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${BP_CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${BP_CCACHE})
  endif()
endif()

# A sanitizer holds for a whole program: every layer, and whatever a test links.
if(BP_SANITIZE)
  add_compile_options(-fsanitize=${BP_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${BP_SANITIZE})
  if(BP_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
    # GCC's UBSan has a runtime of its own. A trap, which ASan reports with its stack, needs none: its
    # 6 MB of variables, which the leak check of each process reads at its end, were a third of what a
    # small test takes. Most checks are those of every access for null and alignment: ASan finds null.
    # The fuzz preset has these and vptr, which cannot trap, and says what is wrong.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND BP_SANITIZE MATCHES "address")
      add_compile_options(-fsanitize-undefined-trap-on-error -fno-sanitize=null,alignment)
      add_link_options(-fsanitize-undefined-trap-on-error)
    endif()
  endif()
endif()

if(BP_HARDEN)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE
                      -D_FORTIFY_SOURCE=2)
  add_compile_definitions($<$<COMPILE_LANGUAGE:CXX>:_GLIBCXX_ASSERTIONS>)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    add_compile_options(-fcf-protection)
  elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
    add_compile_options(-mbranch-protection=standard)
  endif()
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
  include(CheckPIESupported)
  check_pie_supported()
endif()
