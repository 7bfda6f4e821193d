# What configuration files add: YAML.
PKGS_BUILD += libfyaml
DEPS_BUILD += libfyaml-dev

# The tables of keys in the manual.
docs: docs-couchbase
docs-couchbase: all
	@tools/manual-tables $(B)/weir docs/manual/couchbase.md
.PHONY: docs-couchbase

# Couchbase on a simulated cluster: load, stream, lose a node, roll back, kill, resume.
demo-couchbase: install-deps
	@$(MAKE) --no-print-directory -s all $(B)/fake-couchbase
	@PATH="$(abspath $(B)):$$PATH" examples/demo-couchbase
.PHONY: demo-couchbase
