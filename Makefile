# The front door: `make report` and `make test` from a fresh clone, as root or with sudo.
# Both set up what is missing first; the second time that takes a second.

SHELL := /bin/bash
VENV ?= $(CURDIR)/.venv
BIN := $(VENV)/bin
QTRACE := $(BIN)/qtrace
PLAN ?= quick
RUN ?= build/posts/run
BUILDS ?= optimised debian o3 lto clang-lto cfi

.PHONY: help setup report matrix matrix-lab-machine two-releases posts posts-check test test-long test-fast check docs pages-stale accuracy accuracy-symbols accuracy-shipped bench-index bench-overhead reach walks atlas site foreign reliability why aa cluster-cost releases headers clean

help:
	@echo 'make report   set up what is missing, index QEMU, run the quick plan, write reports/quick'
	@echo 'make matrix   measure eight NICs on eight back ends on this host, write reports/matrix: half an hour'
	@echo 'make matrix-lab-machine  the same in the lab machine, with vhost-net and vhost-user, write reports/matrix-lab-machine: three quarters of an hour'
	@echo 'make two-releases  measure the same cells in the QEMUs of Debian 12 and 13 on this host, write reports/two-releases: 10 minutes'
	@echo 'make test     set up what is missing, run every test, the quick ones first'
	@echo 'make test-long  the tests that take half a minute or more each: every step on Debian 13, each setting of a plan; 20 minutes'
	@echo 'make test-fast  the tests that need no root, no guest and no bcc: two minutes, as any user'
	@echo 'make check    lint and types, and that the generated pages are true'
	@echo 'make docs     write the generated pages (docs/cli.md, docs/qtrace.1, the verbs in README …), then make site'
	@echo 'make pages-stale  list the measured pages whose inputs have changed since they were made'
	@echo 'make accuracy hold the index against the calls that really happen, labelled sites and other tools'
	@echo 'make accuracy-symbols  find the functions of a stripped build, hold them against its symbols'
	@echo 'make accuracy-shipped  the same of QEMU as Debian ships it, against readelf and guests in it: a quarter of an hour'
	@echo 'make bench-index  what an index costs, against parsing the same files and nothing else'
	@echo 'make bench-overhead  what probing costs a guest at each level, beside bpftrace and bcc'
	@echo 'make reach    try who reaches whom in every connection mode, write docs/reachability.md'
	@echo 'make walks    walk every NIC on every back end in three releases of QEMU, write docs/walks.md'
	@echo 'make atlas    build the atlas of three releases, measure it in Chromium, write docs/atlas.md and its picture'
	@echo 'make site     the site of the project: README, docs, reports, posts and an atlas, build/site, links checked'
	@echo 'make foreign  count the frames of guests that nobody here built, write docs/foreign.md'
	@echo 'make reliability  do to QEMU, tracer and host what may happen to them, write docs/reliability.md'
	@echo 'make why      make faults in live guests, hold what qtrace why names against them, write docs/why.md'
	@echo 'make aa       measure the same thing twice, and changes made on purpose; writes a part of docs/campaign.md'
	@echo 'make cluster-cost  what it costs to have a cluster measure ten thousand blocks; writes a part of docs/campaign.md'
	@echo 'make releases  try a fresh clone in a root of each Debian release, write docs/releases.md'
	@echo 'make headers  compile every eBPF program with the kernel headers and the bcc of each Debian release; writes a part of docs/releases.md'
	@echo 'make posts    write the posts of the series in every language, reports/posts: ten minutes'
	@echo 'make posts-check  type every command of every post anew, and open the posts in Chromium on every site'
	@echo 'make setup    only what the others need'

setup:
	@VENV="$(VENV)" .ci/setup

report: setup
	@$(QTRACE) index
	@$(QTRACE) bench $(PLAN) --report reports/$(PLAN)
	@$(BIN)/python tests/evaluation/pages.py mark reports/$(PLAN)/report.md

# Half an hour on two quiet cores without KVM. A pair that fails is a row of the report.
matrix: setup
	@$(QTRACE) index
	-@$(QTRACE) bench matrix --venue host --report reports/matrix
	@$(BIN)/python tests/evaluation/pages.py mark reports/matrix/report.md

# Nothing else may run on the machine meanwhile.
matrix-lab-machine: setup
	@VENV="$(VENV)" .ci/setup dpdk-testpmd
	@$(QTRACE) index
	-@$(QTRACE) bench matrix --venue vm --report reports/matrix-lab-machine
	@$(BIN)/python tests/evaluation/pages.py mark reports/matrix-lab-machine/report.md

# On Debian 12; Debian 13's QEMU is unpacked in the cache. A pair that fails is a row of the report.
two-releases: setup
	@$(QTRACE) index && $(QTRACE) index --debian trixie
	-@$(QTRACE) bench two-releases --venue host --report reports/two-releases
	@$(BIN)/python tests/evaluation/pages.py mark reports/two-releases/report.md

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/mypy -p qtrace
	@$(BIN)/python -m pytest -q --no-header tests/generated

# Pages and parts of pages that are made from the code, which `make check` compares; then the site with them.
docs: setup
	@$(BIN)/python tests/generated/write.py
	@$(MAKE) --no-print-directory site

# What needs no guest, several at a time; the quick part asks only for an index that is there. Then PARTS, alone.
PARTS ?= rest
SEVERAL := -n $(shell nproc) --dist loadfile
test: check
	@$(QTRACE) index
	@$(BIN)/python -m pytest --part quick $(SEVERAL)
	@$(BIN)/python -m pytest --part slow $(SEVERAL)
	@$(BIN)/python -m pytest $(addprefix --part ,$(PARTS))

# What takes half a minute or more each: Debian 13 as it is, vhost, each setting of a plan. Needs root and Debian's
# archive. CI has no time for the longest.
test-long: setup
	@$(BIN)/python -m pytest --part long --part longest

# Sets nothing up where there is a virtual environment: an ordinary user may install no package.
test-fast: $(if $(wildcard $(BIN)/python),,setup)
	@$(BIN)/python -m pytest --part quick $(SEVERAL) -p no:cacheprovider

# Pages that a measurement makes name the commit that they were made from.
pages-stale: setup
	@$(BIN)/python tests/evaluation/pages.py stale

accuracy accuracy-symbols bench-index bench-overhead reach walks: export PYTHONPATH := $(CURDIR)/tests/evaluation

# The tree is the index's own; the build may be used by nobody else while it is observed.
accuracy: setup
	@tests/evaluation/accuracy/build "$$($(QTRACE) index --format json | $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["root"])')" build/qemu
	@cd tests/evaluation/accuracy && $(BIN)/python recall.py $(CURDIR)/build/qemu && $(BIN)/python page.py

accuracy-symbols: setup
	@for variant in $(BUILDS); do tests/evaluation/accuracy/build "$$($(QTRACE) index --format json | $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["root"])')" build/qemu-$$variant $$variant || case $$variant in optimised | debian) exit 1 ;; esac; done
	@cd tests/evaluation/accuracy && $(BIN)/python symbols.py $(CURDIR)/build

# Needs root and the sources of the next Debian release.
accuracy-shipped: setup
	@cd tests/evaluation/accuracy && PYTHONPATH=..:../../measure:../.. $(BIN)/python shipped.py

# Nothing else may run on the machine meanwhile.
bench-index: setup
	@$(BIN)/python tests/evaluation/speed/index.py

bench-overhead: setup
	@VENV="$(VENV)" .ci/setup funccount-bpfcc
	@$(BIN)/python tests/evaluation/speed/overhead.py

# The sources of the next two Debian releases' QEMU are fetched; nothing is built or installed.
walks: setup
	@$(BIN)/python tests/evaluation/walks/page.py

# Ten minutes with warm indexes: every page is opened.
atlas: setup
	@VENV="$(VENV)" .ci/setup chromium
	@PYTHONPATH=tests/evaluation:tests/atlas $(BIN)/python tests/evaluation/atlas/page.py

# Nothing of it is committed. The atlas has the installed QEMU and the next two releases, whose sources are fetched.
SITE_SUITES ?= trixie sid
site: setup
	@$(QTRACE) index
	@set -o pipefail; releases=; for suite in "" $(SITE_SUITES); do \
	    release=$$($(QTRACE) index $${suite:+--debian $$suite} --format json | $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["qemu"])') || exit 1; \
	    releases="$$releases --index $$release"; \
	done; $(QTRACE) atlas -o build/atlas $$releases
	@$(BIN)/python .ci/site build/atlas build/site

# An hour; needs root and Debian's archive. Rows alone: python tests/evaluation/foreign/page.py e1000e
foreign: setup
	@PYTHONPATH=tests:tests/foreign:tests/evaluation $(BIN)/python tests/evaluation/foreign/page.py

# Half an hour.
reliability: setup
	@PYTHONPATH=tests:tests/measure:tests/evaluation $(BIN)/python tests/evaluation/reliability/page.py

# A quarter of an hour.
why: setup
	@PYTHONPATH=tests:tests/measure:tests/diagnosis:tests/evaluation:tests/evaluation/speed $(BIN)/python tests/evaluation/why/page.py

# Twelve minutes in the lab machine; nothing else may run meanwhile. Smaller: make aa PAIRS='2 1'
aa: setup
	@VENV="$(VENV)" .ci/setup ethtool
	@PYTHONPATH=tests/evaluation:tests/evaluation/same $(BIN)/python tests/evaluation/same/page.py $(PAIRS)

# Some minutes; needs no root. Fewer: make cluster-cost BLOCKS=500
cluster-cost: setup
	@PYTHONPATH=tests/evaluation:tests/evaluation/cluster:tests/campaign $(BIN)/python tests/evaluation/cluster/page.py $(BLOCKS)

# vhost-user needs DPDK's testpmd besides (.ci/setup dpdk-testpmd).
reach: setup
	@PYTHONPATH=tests:tests/evaluation $(BIN)/python tests/evaluation/reachability/page.py

# A run that is there is used again: make posts RUN=FOLDER. Labs are started for commands and packets.
posts: setup
	@$(QTRACE) index --libraries
	@[ -e $(RUN)/run.json ] || $(QTRACE) bench posts -o $(RUN)
	@newer=$$($(QTRACE) index --debian trixie --format json | $(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["qemu"])'); \
	for post in user tap socket virtio; do \
	    rm -rf build/posts/$$post; \
	    $(QTRACE) post $$post --lang zh --lang en --run $(RUN) --newer "$$newer" --material build/posts/$$post -o reports/posts || exit 1; \
	    install -D -m 644 -t reports/posts/material/$$post build/posts/$$post/*.json || exit 1; \
	done

# Four minutes; needs root, and npm's registry for Hexo and Mermaid. The committed posts are what the labs are held
# against, and what each site's own program builds.
posts-check: setup
	@VENV="$(VENV)" .ci/setup jekyll hugo chromium $$(command -v npm >/dev/null || echo npm)
	@QTRACE_POSTS=all QTRACE_NO_SKIP=1 $(BIN)/python -m pytest tests/post tests/lab/test_experiment.py

# An hour; needs root and Debian's archive. Columns alone: python tests/evaluation/releases/page.py trixie
releases: setup
	@PYTHONPATH=tests/evaluation:tests/evaluation/releases $(BIN)/python tests/evaluation/releases/page.py

# Ten minutes; needs root and Debian's archive. Some bcc alone, and nothing is written: headers_page.py trixie
headers: setup
	@PYTHONPATH=tests/evaluation:tests/evaluation/releases $(BIN)/python tests/evaluation/releases/headers_page.py

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache *.egg-info
