#!/bin/bash
# What the README's first command runs in a fresh VM: says where it is, and leaves an artifact.
set -eu
echo "hello from $(hostname), kernel $(uname -r), up for $(cut -d' ' -f1 /proc/uptime) s"
mkdir -p /root/out
uname -a > /root/out/machine.txt
git --version >> /root/out/machine.txt
