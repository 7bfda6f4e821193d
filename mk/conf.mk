# What configuration files add: YAML.
PKGS_BUILD += libfyaml
DEPS_BUILD += libfyaml-dev

# The tables of keys in the manual.
docs: docs-couchbase
docs-couchbase: all
	@tools/manual-tables $(B)/weir docs/manual/couchbase.md
.PHONY: docs-couchbase
