"""The lab machine: root, KVM, vhost-net, kprobes and bcc on any host."""
