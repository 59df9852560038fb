.PHONY: install run test test-slow lint check bench lock
install:
	@scripts/install
run: install
	@scripts/run
test: install
	@scripts/test
test-slow: install
	@scripts/test -m slow
lint: install
	@scripts/lint
check: install
	@scripts/check
bench: install
	@scripts/bench
lock: install
	@scripts/lock
