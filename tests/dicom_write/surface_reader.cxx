// Prints, as JSON, what GDCM's SurfaceReader finds in a Surface Segmentation: a reader that shares nothing with ours.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <vector>

#include <gdcmDataElement.h>
#include <gdcmMeshPrimitive.h>
#include <gdcmSegment.h>
#include <gdcmSurface.h>
#include <gdcmSurfaceReader.h>

namespace {

template <typename Value>
std::vector<Value> values(const gdcm::DataElement &element) {
  const gdcm::ByteValue *bytes = element.GetByteValue();
  if (bytes == nullptr) {
    return {};
  }
  std::vector<Value> found(bytes->GetLength() / sizeof(Value));
  std::memcpy(found.data(), bytes->GetPointer(), found.size() * sizeof(Value));
  return found;
}

template <typename Value>
void print(const char *name, const std::vector<Value> &numbers) {
  std::cout << '"' << name << "\": [";
  for (size_t i = 0; i < numbers.size(); ++i) {
    std::cout << (i ? ", " : "") << numbers[i];
  }
  std::cout << ']';
}

void print(const gdcm::Segment &segment, const gdcm::Surface &surface) {
  std::cout << "{\"segment\": \"" << segment.GetSegmentLabel() << "\", ";
  std::cout << "\"surface_number\": " << surface.GetSurfaceNumber() << ", ";
  std::cout << "\"manifold\": \"" << gdcm::Surface::GetSTATESString(surface.GetManifold()) << "\", ";
  std::cout << "\"point_count\": " << surface.GetNumberOfSurfacePoints() << ", ";
  std::cout << "\"primitive\": \""
            << gdcm::MeshPrimitive::GetMPTypeString(surface.GetMeshPrimitive().GetPrimitiveType()) << "\", ";
  print("points", values<float>(surface.GetPointCoordinatesData()));
  std::cout << ", ";
  print("normals", values<float>(surface.GetVectorCoordinateData()));
  std::cout << ", ";
  print("triangles", values<uint32_t>(surface.GetMeshPrimitive().GetPrimitiveData()));
  std::cout << '}';
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::cerr << "usage: surface_reader FILE\n";
    return 2;
  }
  gdcm::SurfaceReader reader;
  reader.SetFileName(argv[1]);
  if (!reader.Read()) {
    std::cerr << "GDCM cannot read " << argv[1] << '\n';
    return 1;
  }
  std::cout << std::setprecision(9) << '[';
  bool first = true;
  for (const auto &segment : reader.GetSegments()) {
    for (const auto &surface : segment->GetSurfaces()) {
      std::cout << (first ? "" : ",\n");
      print(*segment, *surface);
      first = false;
    }
  }
  std::cout << "]\n";
  return 0;
}
