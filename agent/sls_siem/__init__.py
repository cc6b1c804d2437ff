"""Ship Alibaba Cloud SLS logs to an on-premises SIEM, losing none."""

from sls_siem.version import __version__

__all__ = ["__version__"]
