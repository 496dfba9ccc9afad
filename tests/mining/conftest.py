"""Machines differ and are shared: a slow example is not a wrong one."""

from hypothesis import settings

settings.register_profile("minia", deadline=None)
settings.load_profile("minia")
