"""What is measured on a pelvis: pure functions of the hip bones' surfaces, for the right side.

The pelvic frame is that of the anterior pelvic plane (Lewinnek 1978), so that no angle but the tilt depends on how the
patient lay. It takes both hip bones. The left side is measured in the mirror: the other hip bone is then the right one.
Lengths mm, angles degrees; sources are in docs/measurements.md.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pipeline.geometry import FloatArray
from pipeline.stages.measure_anatomy import Anatomy, extent, plane_normal, unit


class HipBone(Anatomy):
    """A right hip bone and its acetabulum."""

    @cached_property
    def acetabulum(self) -> tuple[FloatArray, float]:
        """Centre (3,) and radius of the sphere nearest to the lunate surface."""
        return self.sphere("acetabulum")

    @cached_property
    def acetabular_axis(self) -> FloatArray:
        """(3,) unit vector out of the acetabulum, square to the plane nearest to its rim."""
        rim = self.region("acetabular_rim")
        normal = plane_normal(rim)
        return np.asarray(normal * np.sign(normal @ (rim.mean(axis=0) - self.region("acetabulum").mean(axis=0))))

    @cached_property
    def rim(self) -> FloatArray:
        """(n, 3) the acetabular rim from one end of the notch round to the other."""
        rim, axis = self.region("acetabular_rim"), self.acetabular_axis
        centre = rim.mean(axis=0)
        top = unit(self.at("acetabular_rim_superior") - centre)
        turned = np.arctan2((rim - centre) @ np.cross(axis, top), (rim - centre) @ top)
        return np.asarray(rim[np.argsort(turned)])


def acetabular_diameter(hip_bone: HipBone) -> float:
    """Of the sphere nearest to the lunate surface (least squares), bone to bone, without cartilage."""
    return 2 * hip_bone.acetabulum[1]


def acetabular_inclination(hip_bone: HipBone, other: HipBone) -> float:
    """Radiographic (Murray 1993): of the acetabular axis against the long axis of the body, in the coronal plane."""
    lateral, _, up = pelvic_axes(hip_bone, other) @ hip_bone.acetabular_axis
    return float(np.rad2deg(np.arctan2(lateral, -up)))


def acetabular_anteversion(hip_bone: HipBone, other: HipBone) -> float:
    """Radiographic (Murray 1993): of the acetabular axis against the coronal plane; positive is forward."""
    _, forward, _ = pelvic_axes(hip_bone, other) @ hip_bone.acetabular_axis
    return float(np.rad2deg(np.arcsin(forward)))


def centre_edge_angle(hip_bone: HipBone, other: HipBone) -> float:
    """Lateral (Wiberg 1939): from upright to the rim, seen from the centre, in the coronal plane through the centre."""
    lateral, forward, up = pelvic_axes(hip_bone, other) @ (hip_bone.rim - hip_bone.acetabulum[0]).T
    crossings = [
        np.arctan2(np.interp(0, *_rising(forward, lateral, i)), np.interp(0, *_rising(forward, up, i)))
        for i in map(int, np.flatnonzero(np.diff(np.sign(forward))))
    ]
    return float(np.rad2deg(min(crossings, key=abs)))


def spine_distance(hip_bone: HipBone, other: HipBone) -> float:
    """Distance of the anterior superior iliac spines."""
    return float(np.linalg.norm(hip_bone.at("asis") - other.at("asis")))


def pelvic_width(hip_bone: HipBone, other: HipBone) -> float:
    """Greatest width of the pelvis along the line through the spines (bi-iliac width)."""
    lateral = pelvic_axes(hip_bone, other)[0]
    return extent(np.concatenate([hip_bone.vertices, other.vertices]), lateral)


def pelvic_tilt(hip_bone: HipBone, other: HipBone) -> float:
    """Of the anterior pelvic plane against the long axis of the study's frame; spines forward is positive."""
    _, forward, up = pelvic_axes(hip_bone, other)[:, 2]
    return float(np.rad2deg(np.arctan2(-forward, up)))


def pelvic_axes(hip_bone: HipBone, other: HipBone) -> FloatArray:
    """(3, 3) rows: to this hip bone's side, forward and up, as the anterior pelvic plane has them."""
    spines = (hip_bone.at("asis") + other.at("asis")) / 2
    tubercles = (hip_bone.at("pubic_tubercle") + other.at("pubic_tubercle")) / 2
    lateral = unit(hip_bone.at("asis") - other.at("asis"))
    up = spines - tubercles
    up = unit(up - (up @ lateral) * lateral)
    return np.stack([lateral, np.cross(up, lateral), up])


def _rising(along: FloatArray, values: FloatArray, index: int) -> tuple[FloatArray, FloatArray]:
    """Two neighbours of a curve, the one with the smaller abscissa first, as `np.interp` wants them."""
    pair = np.array([index, index + 1])
    pair = pair[np.argsort(along[pair])]
    return along[pair], values[pair]
