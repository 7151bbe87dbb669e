#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Inside the new system, without a network but loopback: what a newcomer does.
set -euo pipefail
cd /source
page() {
  mkdir "/tmp/$1"
  tests/docs/run_page.sh "docs/$1.md" "/tmp/$1"
}

backplane --version
backplane plugins
page embedding
diff <(cd /tmp/embedding && python3 /source/sdk/examples/python/embed.py room.toml room:/temperature) - <<'TEXT'
now 20.5
is 20.5
is 21.5
unknown instance 'rom', did you mean 'room'?
TEXT
echo 'embed.py: ok'
page writing_a_plugin
for traits in tests/conformance/*/traits.toml; do
  plugin=$(basename "$(dirname "$traits")")
  [[ $plugin != opcua ]] || continue # its peer is a program of the tests
  for isolated in '' --isolated; do
    SECONDS=0
    # shellcheck disable=SC2086 # no option is no argument
    backplane validate $isolated --timeout 120 --traits "$traits" \
      "/usr/lib/backplane/plugins/libbackplane_${plugin%_*}.so" | grep -v ' pass$\| skip '
    echo "  $SECONDS s $isolated"
  done
done
backplane demo --seconds 5 | tail -n 1
backplane demo --seconds 5 --isolated | tail -n 1
