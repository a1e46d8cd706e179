"""The conformance suite of all transports, over sim://."""

from __future__ import annotations

from tests.transports.test_endpoint import *  # noqa: F403
from tests.transports.test_endpoint_closing import *  # noqa: F403
from tests.transports.test_endpoint_transfers import *  # noqa: F403
from tests.transports.test_handshake import *  # noqa: F403
from tests.transports.test_noise import *  # noqa: F403
