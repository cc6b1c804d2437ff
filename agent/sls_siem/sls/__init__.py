"""Alibaba Cloud SLS: signed calls, answers as typed values, first positions. The only place that imports `aliyun`."""
