"""The way to the SIEM: Splunk HEC and syslog behind one seam; knows nothing of SLS or the process."""

from __future__ import annotations

from sls_siem.siem.factory import make_output
from sls_siem.siem.output import EndpointState, Gate, Lane, Output, ProbeResult, Rejection, Report, Token

__all__ = ["EndpointState", "Gate", "Lane", "Output", "ProbeResult", "Rejection", "Report", "Token", "make_output"]
