"""Starts the suite's command under Python 2.

It imports TLS and a test framework in every mode and uses neither against a `ws:` address. Stand-ins spare us pyOpenSSL,
whose build needs a compiler and an OpenSSL that Debian no longer has.
"""

import sys
import types
import unittest

import twisted.internet

tls = types.ModuleType("twisted.internet.ssl")
tls.ClientContextFactory = lambda: None
twisted.internet.ssl = sys.modules["twisted.internet.ssl"] = tls
sys.modules["unittest2"] = unittest

from autobahntestsuite.wstest import run  # noqa: E402

sys.argv[0] = "wstest"
run()
