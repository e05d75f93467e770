#!/usr/bin/env bash
# Installs the Debian packages that some tests use; without them, those are left out, and the run says so. Run as root.
set -euo pipefail

packages=(
  dataset-fashion-mnist # the garments that a classifier of digits must reject
  chromium libvulkan1   # the browser of the web page's tests, and a software Vulkan driver, with which WebGPU runs without a GPU
)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "Debian packages: all there (${packages[*]})"
  exit
fi

echo "Debian packages: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get -o Acquire::Retries=3 update --quiet
apt-get -o Acquire::Retries=3 install --quiet --yes --no-install-recommends "${missing[@]}"
