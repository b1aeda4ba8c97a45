"""
The Salt Extension. Its modules are those of ``_modules/``, ``_states/``, ``_runners/`` and ``_beacons/``; ``setup.cfg``
maps them to here.

This file has to exist: salt-ssh cannot ship an extension that is a namespace package.
"""
