#!/bin/sh
# Compare protos/ with the last release: nothing that a caller relies on may change within one package version.
set -eu
cd "$(dirname "$0")/.."

tag=$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null || true)
if [ -z "$tag" ]; then
    echo "buf breaking: nothing released yet (no tag v*), so nothing to compare with"
    exit 0
fi
echo "buf breaking: against $tag"
exec "${BUF:-buf}" breaking --against "$(git rev-parse --git-common-dir)#tag=$tag"
