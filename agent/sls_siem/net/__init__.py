"""Sockets, TLS and HTTP/1.1 exchanges that end at one deadline; knows neither SLS nor any SIEM."""
