"""The figures of history in the shapes that JamTART gives them below ``/api/grafana``.

So its dashboards, scripts and clients work unchanged. It is a translation: nothing is stored for
it. What history does not have is answered with zeros, nulls or empty lists in the same shape; where
a figure is made of something else than there, the function that answers says of what.
"""
