"""The plug-in's own tests run where it is installed, see test_plugin.py."""

collect_ignore = ["package"]
