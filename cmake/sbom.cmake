# A list of what is in a static program, as SPDX 2.3 JSON, for scanners that look up advisories:
#
#   cmake -DPROGRAM=FILE -DPACKAGES=molecule-sidecar.packages -DVERSION= -DREVISION= -DARCHITECTURE= -DOUT=FILE.spdx.json -P cmake/sbom.cmake
#
# PACKAGES has lines "package version source source-version" (cmake/static.cmake). Each becomes an SPDX package with a purl of Debian's,
# whose `upstream` names the source package: that is what Debian's advisories speak of. The time is $SOURCE_DATE_EPOCH, else now; the
# namespace is a hash of the program's sum, so that equal programs have equal ones.
cmake_minimum_required(VERSION 3.25)
foreach(name PROGRAM PACKAGES VERSION REVISION ARCHITECTURE OUT)
  if(NOT DEFINED ${name})
    message(FATAL_ERROR "sbom: -D${name}= is missing")
  endif()
endforeach()

cmake_path(GET PROGRAM FILENAME name)
file(SHA256 "${PROGRAM}" sum)
string(TIMESTAMP now "%Y-%m-%dT%H:%M:%SZ" UTC)
string(UUID id NAMESPACE 6ba7b811-9dad-11d1-80b4-00c04fd430c8 NAME "${name} ${sum}" TYPE SHA1)

# quoted(OUT_VARIABLE TEXT): TEXT as a JSON string
function(quoted out text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  set(${out} "\"${text}\"" PARENT_SCOPE)
endfunction()

# member(JSON_VARIABLE KEY... TEXT): sets a string
macro(member json)
  set(path ${ARGN})
  list(POP_BACK path text)
  quoted(text "${text}")
  string(JSON ${json} SET "${${json}}" ${path} "${text}")
endmacro()

# A purl keeps letters, digits and .-_~; versions of Debian have + and : besides.
function(purl_text out text)
  string(REPLACE "+" "%2B" text "${text}")
  string(REPLACE ":" "%3A" text "${text}")
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

set(main "{\"SPDXID\":\"SPDXRef-Program\",\"downloadLocation\":\"NOASSERTION\",\"filesAnalyzed\":false,\"licenseConcluded\":\"Apache-2.0\",\
\"licenseDeclared\":\"Apache-2.0\",\"copyrightText\":\"NOASSERTION\",\"supplier\":\"NOASSERTION\",\"primaryPackagePurpose\":\"APPLICATION\"}")
member(main name "${name}")
member(main versionInfo "${VERSION}")
member(main comment "revision ${REVISION}, built for ${ARCHITECTURE}")
string(JSON main SET "${main}" checksums "[{\"algorithm\":\"SHA256\",\"checksumValue\":\"${sum}\"}]")

set(document "{\"spdxVersion\":\"SPDX-2.3\",\"dataLicense\":\"CC0-1.0\",\"SPDXID\":\"SPDXRef-DOCUMENT\",\"creationInfo\":{},\"packages\":[],\"relationships\":\
[{\"spdxElementId\":\"SPDXRef-DOCUMENT\",\"relationshipType\":\"DESCRIBES\",\"relatedSpdxElement\":\"SPDXRef-Program\"}]}")
member(document name "${name}-${VERSION}")
member(document documentNamespace "urn:uuid:${id}")
string(JSON document SET "${document}" creationInfo "{\"created\":\"${now}\",\"creators\":[\"Tool: molecule-sidecar-sbom\"]}")
string(JSON document SET "${document}" packages 0 "${main}")

file(STRINGS "${PACKAGES}" lines)
set(at 1)
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)$")
    message(FATAL_ERROR "sbom: ${PACKAGES} has a line that is not \"package version source source-version\": ${line}")
  endif()
  set(package "${CMAKE_MATCH_1}")
  set(version "${CMAKE_MATCH_2}")
  set(source "${CMAKE_MATCH_3}")
  set(source_version "${CMAKE_MATCH_4}")
  purl_text(purl_package "${package}")
  purl_text(purl_version "${version}")
  purl_text(purl_source "${source}@${source_version}")
  string(REGEX REPLACE "[^A-Za-z0-9.-]" "-" id "SPDXRef-Package-${package}")
  set(one "{\"downloadLocation\":\"NOASSERTION\",\"filesAnalyzed\":false,\"licenseConcluded\":\"NOASSERTION\",\"licenseDeclared\":\"NOASSERTION\",\
\"copyrightText\":\"NOASSERTION\",\"supplier\":\"Organization: Debian\",\"primaryPackagePurpose\":\"LIBRARY\"}")
  member(one SPDXID "${id}")
  member(one name "${package}")
  member(one versionInfo "${version}")
  member(one sourceInfo "linked statically, built from: ${source} ${source_version}")
  string(JSON one SET "${one}" externalRefs "[{\"referenceCategory\":\"PACKAGE-MANAGER\",\"referenceType\":\"purl\",\
\"referenceLocator\":\"pkg:deb/debian/${purl_package}@${purl_version}?distro=debian-12&upstream=${purl_source}\"}]")
  string(JSON document SET "${document}" packages ${at} "${one}")
  string(JSON document SET "${document}" relationships ${at}
    "{\"spdxElementId\":\"SPDXRef-Program\",\"relationshipType\":\"STATIC_LINK\",\"relatedSpdxElement\":\"${id}\"}")
  math(EXPR at "${at} + 1")
endforeach()
file(WRITE "${OUT}" "${document}\n")
